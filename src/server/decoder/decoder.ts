import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ApiError, badRequest } from '../errors.ts'
import type { FromDecoder, PictureFacts, ToDecoder } from './process.ts'

/** Milliseconds that a picture may take. */
const PATIENCE = 20_000

const program = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './process.ts' : './process.js', import.meta.url))

/** Looks into pictures in a child process, which is started at the first and again after it ended. */
export class Decoder {
  readonly #maxBytes: number
  readonly #waiting = new Map<number, (answer: FromDecoder | undefined) => void>()
  #child: ChildProcess | undefined
  #last = 0

  constructor({ maxBytes }: { readonly maxBytes: number }) {
    this.#maxBytes = maxBytes
  }

  /** Starts the process, so that the first picture need not wait. */
  start(): void {
    this.#started()
  }

  /**
   * What a picture is, once it was decoded.
   *
   * @param param what errors call it
   * @throws ApiError 400 for what is no picture
   */
  async look(
    bytes: Uint8Array,
    { param, mime }: { readonly param: string; readonly mime?: string | undefined },
  ): Promise<PictureFacts> {
    if (bytes.length > this.#maxBytes)
      throw badRequest(param, `${param}: ${bytes.length} bytes; at most ${this.#maxBytes} are read`, 'image_too_large')
    const id = ++this.#last
    const child = this.#started()
    const answer = await new Promise<FromDecoder | undefined>((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
      this.#waiting.set(id, (given) => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve(given)
      })
      child.send({ id, bytes, mime, name: param, maxBytes: this.#maxBytes } satisfies ToDecoder, (error) => {
        if (error) this.#waiting.get(id)?.(undefined)
      })
    })
    if (!answer) throw new ApiError(400, `${param}: this picture cannot be decoded`, { param, code: 'invalid_image' })
    if ('facts' in answer) return answer.facts
    throw new ApiError(400, answer.message, { param, code: 'invalid_image' })
  }

  close(): void {
    this.#child?.kill('SIGKILL')
  }

  #started(): ChildProcess {
    if (this.#child) return this.#child
    const child = fork(program, [], { serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    child.on('message', (answer: FromDecoder) => this.#waiting.get(answer.id)?.(answer))
    child.once('exit', () => {
      if (this.#child !== child) return
      this.#child = undefined
      for (const end of [...this.#waiting.values()]) end(undefined)
    })
    this.#child = child
    return child
  }
}
