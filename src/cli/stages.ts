import type { StageProgress } from '../recipes/evaluation/options.ts'
import { type Progress, type ProgressStream, progress } from '../training/logs/progress.ts'

/** Bars for work in stages: each stage is named in a line, and has a bar of its own. */
export function stageBars(stream: ProgressStream) {
  let current: string | undefined
  let bar: Progress | undefined
  return {
    update({ stage, done, total }: StageProgress): void {
      if (stage !== current) {
        bar?.stop()
        stream.write(`${stage}\n`)
        bar = progress({ total, start: done, stream })
        current = stage
      }
      bar?.update(done)
    },
    stop(): void {
      bar?.stop()
    },
  }
}
