import { encodePng, imageGrid } from '../../images/index.ts'
import { createDdpm, type DdpmParts, finish } from '../../pipelines/index.ts'
import type { PreviewOptions } from '../recipe.ts'

/** A grid of samples, as in a run's folder, as PNG bytes: 64 in 50 steps of DDIM, or as many as the schedule has. */
export async function previewDdpm(parts: DdpmParts, { num = 64, steps = 50 }: PreviewOptions = {}): Promise<Uint8Array> {
  const ddpm = createDdpm(parts)
  const most = (ddpm.scheduler.num_train_timesteps as number | undefined) ?? steps
  try {
    const pictures = await finish(ddpm.sample({ num, steps: Math.min(steps, most), seed: 0, scheduler: 'ddim', batch: num }))
    return await encodePng(imageGrid(pictures, { columns: Math.ceil(Math.sqrt(num)) }))
  } finally {
    await ddpm.release()
  }
}
