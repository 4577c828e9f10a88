import { imagesOf } from '../../images/index.ts'
import type { Pipeline, RunInput } from '../../pipelines/load.ts'
import type { Page, Progress, Result } from '../../pipelines/page.ts'
import type { JobProgress, JobResult } from '../job.ts'
import { runningFault } from './faults.ts'
import { readOptions } from './pictures.ts'
import { encode, type Writing, write } from './write.ts'

/** What runs a job is given. */
export interface Run extends Writing {
  readonly signal: AbortSignal
  onProgress(progress: JobProgress): void
}

/** Runs a pipeline for a job. @throws JobError; the signal's reason where that stopped it */
export async function generate(pipeline: Pipeline, page: Page, run: Run): Promise<Omit<JobResult, 'seconds'>> {
  const { spec, store, signal } = run
  const options = await readOptions(page, spec.options, { store, owner: spec.owner })
  try {
    signal.throwIfAborted()
    const plan = pipeline.plan(options)
    const settings = pipeline.schema.parse(options) as Record<string, unknown>
    const steps = pipeline.generate({ ...options, signal } as RunInput)
    const preview = previewing(run)
    let next = await steps.next()
    for (; !next.done; next = await steps.next()) {
      // Gives the messages of the parent their turn: a step blocks the thread.
      await new Promise(setImmediate)
      signal.throwIfAborted()
      await preview(next.value)
    }
    const made = await write({ result: next.value, plan, settings }, run)
    return { ...made, ...(plan.warnings?.length && { warnings: plan.warnings }) }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw runningFault(error)
  }
}

/** Tells each step, with a preview where one is due. */
function previewing({ spec, store, onProgress, version }: Run): (step: Progress) => Promise<void> {
  const { count, every } = spec.previews
  let index = 0
  let shown = performance.now()
  const began = Date.now()
  let failed = false
  const due = ({ done, total }: Progress) => {
    if (failed || done >= total) return false
    if (count > 0) return index < count && done >= Math.ceil(((index + 1) * total) / (count + 1))
    return every !== undefined && performance.now() - shown >= every
  }
  return async (step) => {
    const { done, total, picture, stage } = step
    const base = { done, total, picture, ...(stage !== undefined && { stage }), at: Date.now(), began }
    if (!due(step)) return onProgress(base)
    shown = performance.now()
    const shows = count > 0 ? await step.preview() : await (step.sketch ?? step.preview)()
    const image = pictureOf(shows)
    if (!image) {
      failed = true
      return onProgress(base)
    }
    const bytes = await encode(image, count > 0 ? spec.output : { format: 'webp', metadata: false }, undefined, version)
    const type = `image/${count > 0 ? spec.output.format : 'webp'}`
    const file = await store.put(spec.owner, bytes, type)
    const [, height = 0, width = 0] = image.shape
    onProgress({ ...base, preview: { file, type, bytes: bytes.length, width, height, index: index++ } })
  }
}

/** What a preview shows of it: the last picture, or a film's middle frame. */
function pictureOf(result: Result) {
  if (result.type === 'pictures') return imagesOf(result.pictures).at(-1)
  if (result.type !== 'frames') return undefined
  const [, length = 1, C = 3, H = 1, W = 1] = result.frames.shape
  const all = imagesOf(result.frames.slice(0, 0, 1).reshape([length, C, H, W]))
  return all[length >> 1]
}
