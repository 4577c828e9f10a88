import type { Generator } from '../../../runtime/random.ts'
import type { ScenesConfig } from '../../data.ts'
import { trainingScenes } from '../../held-out.ts'
import { type LatentPoolOptions, latentPool } from '../latents/pool.ts'

interface CaptionedLatentsOptions extends Pick<LatentPoolOptions, 'vae'> {
  readonly data: ScenesConfig
  /** Pixels a side. */
  readonly resolution: number
  /** Scenes whose latents are kept. */
  readonly pool: number
  /** The share of captions that are left out. */
  readonly condition_dropout: number
  readonly seed: number
}

/** What text-to-image models learn from: latents of scenes, each with one of its captions, some of which are left out. */
export async function captionedLatents({ data, resolution: size, pool, condition_dropout, seed, vae }: CaptionedLatentsOptions) {
  const dataset = await trainingScenes(data, { size, seed })
  const images = async (positions: readonly number[]) => (await dataset.batch(positions)).images
  const latents = latentPool({ images, vae, count: pool, stamp: { data, size, seed } })
  return {
    dataset,
    async draw(generator: Generator, count: number) {
      const positions = Array.from(generator.randint(0, pool, [count]).data, Number)
      const captions = positions.map((at) => dataset.captionAt(at, generator.bits()).text)
      const told = generator.rand([count]).data
      const kept = captions.map((caption, i) => ((told[i] as number) < condition_dropout ? '' : caption))
      return { positions, captions: kept, clean: await latents(positions) }
    },
  }
}
