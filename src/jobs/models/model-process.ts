import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { JobError } from '../errors.ts'
import type { JobProgress, JobResult, JobSpec } from '../job.ts'
import type { FromModels, ModelSettings, ToModels } from './messages.ts'

export interface JobRun {
  readonly id: string
  readonly spec: JobSpec
  readonly path: string
  readonly load: Readonly<Record<string, unknown>>
  readonly signal: AbortSignal
  onProgress(progress: JobProgress): void
}

/** Milliseconds that a job has to end after it was cancelled, before its process is ended. A step of a large model takes long. */
const PATIENCE = 30_000

const program = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './process.ts' : './process.js', import.meta.url))

/** A child process that runs models, one job at a time; started when it is first needed, and again after it ended. */
export class ModelProcess {
  readonly #settings: ModelSettings
  readonly #patience: number
  #child: Promise<ChildProcess> | undefined
  #busy = false
  /** Paths of the models in its memory, and the bytes that it takes. */
  models: readonly string[] = []
  bytes = 0

  constructor(settings: ModelSettings, { patience = PATIENCE }: { readonly patience?: number } = {}) {
    this.#settings = settings
    this.#patience = patience
  }

  get busy(): boolean {
    return this.#busy
  }

  /** Its process's number, where it runs. */
  pid: number | undefined

  /** Starts the process, so that the first job need not wait for it. */
  async start(): Promise<void> {
    await this.#started()
  }

  /**
   * Runs a job to its end.
   *
   * @throws JobError; `worker_killed` where the process ended
   */
  async run({ id, spec, path, load, signal, onProgress }: JobRun): Promise<JobResult> {
    this.#busy = true
    let timer: NodeJS.Timeout | undefined
    try {
      const child = await this.#started()
      signal.throwIfAborted()
      return await new Promise<JobResult>((resolve, reject) => {
        const settle = (act: () => void) => {
          child.off('message', heard)
          child.off('exit', gone)
          signal.removeEventListener('abort', cancel)
          clearTimeout(timer)
          act()
        }
        const heard = (message: FromModels) => {
          if (!('id' in message) || message.id !== id) return
          if (message.type === 'progress') onProgress(message.progress)
          else if (message.type === 'completed') settle(() => resolve(message.result))
          else
            settle(() =>
              reject(signal.aborted ? signal.reason : new JobError(message.fault, message.message, { param: message.param })),
            )
        }
        const gone = (code: number | null, ended: string | null) =>
          settle(() =>
            reject(
              signal.aborted
                ? signal.reason
                : new JobError('worker_killed', `the process that ran the model ended (${ended ?? `exit code ${code}`})`),
            ),
          )
        const cancel = () => {
          send(child, { type: 'cancel', id })
          timer = setTimeout(() => child.kill('SIGKILL'), this.#patience)
        }
        child.on('message', heard)
        child.once('exit', gone)
        signal.addEventListener('abort', cancel)
        send(child, { type: 'run', id, spec, path, load })
        if (signal.aborted) cancel()
      })
    } finally {
      this.#busy = false
    }
  }

  async close(): Promise<void> {
    const child = await this.#child?.catch(() => undefined)
    this.#child = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    await new Promise<void>((gone) => {
      // A step blocks its thread, and nothing is lost with the process: results are in the store before they are told.
      const force = setTimeout(() => child.kill('SIGKILL'), 1000)
      child.once('exit', () => {
        clearTimeout(force)
        gone()
      })
      if (child.connected) child.disconnect()
    })
  }

  #started(): Promise<ChildProcess> {
    this.#child ??= new Promise((resolve, reject) => {
      const child = fork(program, [JSON.stringify(this.#settings)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
      this.pid = child.pid
      child.on('error', reject)
      child.on('message', (message: FromModels) => {
        if (message.type === 'ready') resolve(child)
        if (message.type !== 'models') return
        this.models = message.models
        this.bytes = message.bytes
      })
      child.once('exit', (code, signal) => {
        this.#child = undefined
        this.pid = undefined
        this.models = []
        this.bytes = 0
        reject(
          new JobError('worker_killed', `the process that runs models ended before it began (${signal ?? `exit code ${code}`})`),
        )
      })
    })
    return this.#child
  }
}

/** A channel that is closed is told by the process's end. */
const send = (child: ChildProcess, message: ToModels) => child.send(message, () => {})
