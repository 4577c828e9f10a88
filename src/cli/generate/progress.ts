import type { TerminalStream } from '../../images/index.ts'
import type { Pipeline, Progress, Result } from '../../pipelines/index.ts'
import type { Io } from '../command.ts'

export interface Showing {
  readonly io: Io
  /** Shows the picture so far at every so manieth step, where the terminal can. */
  readonly preview: number | undefined
}

/** A run's result, its progress shown: a bar for each stage of a cascade. */
export async function finished(
  pipeline: Pipeline,
  settings: Parameters<Pipeline['generate']>[0],
  { io, preview }: Showing,
): Promise<Result> {
  const { progress } = await import('../../training/logs/progress.ts')
  let bar: { readonly stage: number | undefined; readonly shown: ReturnType<typeof progress> } | undefined
  const steps = pipeline.generate(settings)
  try {
    for (let next = await steps.next(); ; next = await steps.next()) {
      if (next.done) return next.value
      const { done, total, stage, i } = next.value
      if (!bar || bar.stage !== stage) {
        bar?.shown.stop()
        bar = { stage, shown: progress({ total, stream: io.err }) }
      }
      bar.shown.update(done)
      if (preview === undefined || (i + 1) % preview !== 0 || done === total) continue
      if (await shown(next.value, io.out)) {
        bar.shown.stop()
        bar = undefined
      }
    }
  } finally {
    bar?.shown.stop()
  }
}

/** Draws what a step would end with; whether the terminal can show it. */
async function shown(step: Progress, stream: TerminalStream): Promise<boolean> {
  const { drawInTerminal, imagesOf, terminalGraphics } = await import('../../images/index.ts')
  if (terminalGraphics(stream) === 'none') return false
  const result = await (step.sketch ?? step.preview).call(step)
  if (result.type === 'frames') {
    const { filmStrip } = await import('../../video/index.ts')
    const film = result.frames.slice(0, 0, 1).reshape(result.frames.shape.slice(1))
    await drawInTerminal(filmStrip(imagesOf(film)), { stream })
    return true
  }
  if (result.type !== 'pictures') return false
  await drawInTerminal(imagesOf(result.pictures)[0] as never, { stream })
  return true
}
