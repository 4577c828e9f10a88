// Runs models, one job after another, in a process of its own: a step blocks its thread, and what ends the process ends no more.
import { blockOtherLoaders } from '../../images/index.ts'
import { loadPipeline, type Pipeline, pageOf } from '../../pipelines/load.ts'
import { openSource } from '../../pipelines/open/open.ts'
import type { Page } from '../../pipelines/page.ts'
import { pages } from '../../pipelines/registry.ts'
import { loadUpscaler, type Upscaler } from '../../pipelines/upscale/index.ts'
import type { DeviceName } from '../../runtime/backend.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import { JobError } from '../errors.ts'
import { openStore } from '../store/open.ts'
import { version } from '../version.ts'
import { openingFault } from './faults.ts'
import { generate, type Run } from './generate.ts'
import { KeptModels } from './kept-models.ts'
import type { FromModels, ModelSettings, ToModels } from './messages.ts'
import { upscale } from './upscale.ts'

const settings = JSON.parse(process.argv[2] ?? '{}') as ModelSettings
const tell = (message: FromModels) => process.send?.(message)
const store = await openStore(settings.store)
type Kept =
  | { readonly kind: 'pipeline'; readonly pipeline: Pipeline; readonly page: Page; release(): Promise<void> }
  | { readonly kind: 'upscaler'; readonly upscaler: Upscaler; release(): Promise<void> }
const kept = new KeptModels<Kept>(settings.memory)
const running = new Map<string, AbortController>()

// Pictures of strangers are decoded here.
blockOtherLoaders()
process.on('disconnect', () => process.exit(0))
// Ctrl-C reaches the whole terminal; the parent says when.
process.on('SIGINT', () => {})
process.on('message', (message: ToModels) => {
  if (message.type === 'cancel') running.get(message.id)?.abort(new JobError('cancelled', 'cancelled'))
  else void run(message)
})
tell({ type: 'ready' })

async function run({ id, spec, path, load }: Extract<ToModels, { type: 'run' }>): Promise<void> {
  const controller = new AbortController()
  running.set(id, controller)
  try {
    const began = performance.now()
    const key = JSON.stringify([spec.task, path, load])
    const opened = await kept
      .get(key, () => open(spec.task, path, load))
      .catch((error) => {
        throw openingFault(error)
      })
    const ready = performance.now()
    const job: Run = {
      spec,
      store,
      version,
      signal: controller.signal,
      onProgress: (progress) => tell({ type: 'progress', id, progress }),
    }
    const made =
      opened.kind === 'pipeline' ? await generate(opened.pipeline, opened.page, job) : await upscale(opened.upscaler, job)
    const seconds = { open: (ready - began) / 1000, run: (performance.now() - ready) / 1000 }
    tell({ type: 'completed', id, result: { ...made, seconds } })
  } catch (error) {
    const fault = error instanceof JobError ? error : new JobError('internal', String(error))
    if (fault.fault === 'out_of_memory') await kept.clear()
    tell({ type: 'failed', id, fault: fault.fault, message: fault.message, param: fault.param })
  } finally {
    running.delete(id)
    await kept.trim()
    tell({ type: 'models', models: kept.names.map((name) => JSON.parse(name)[1]), bytes: kept.used })
  }
}

async function open(task: string, path: string, load: Readonly<Record<string, unknown>>): Promise<Kept> {
  const compile: CompileOptions = { ...given('threads'), ...(given('device') as { device?: DeviceName }) }
  if (task === 'upscale') {
    const upscaler = loadUpscaler(path, compile)
    return { kind: 'upscaler', upscaler, release: () => upscaler.release() }
  }
  const options = { ...compile, ...load }
  const page = pageOf(await openSource(path, load), pages)
  const pipeline = await loadPipeline(path, options)
  return { kind: 'pipeline', pipeline, page, release: () => pipeline.release() }
}

function given<K extends keyof ModelSettings>(name: K): Partial<Pick<ModelSettings, K>> {
  return settings[name] === undefined ? {} : ({ [name]: settings[name] } as Partial<Pick<ModelSettings, K>>)
}
