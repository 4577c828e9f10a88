import { encodePng, imageGrid } from '../../images/index.ts'
import { createDdpm, type DdpmParts, finish } from '../../pipelines/index.ts'

/** A grid of samples, as in a run's folder, as PNG bytes. */
export async function previewDdpm(parts: DdpmParts): Promise<Uint8Array> {
  const ddpm = createDdpm(parts)
  try {
    const pictures = await finish(ddpm.sample({ num: 64, steps: 50, seed: 0, scheduler: 'ddim', batch: 64 }))
    return await encodePng(imageGrid(pictures, { columns: 8 }))
  } finally {
    await ddpm.release()
  }
}
