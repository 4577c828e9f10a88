import type { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'
import type { ScenesConfig } from '../../data.ts'
import { trainingScenes } from '../../held-out.ts'
import { positionsFrom } from '../../positions.ts'
import { embeddingPool } from '../latents/pool.ts'
import type { ClipEmbedder } from './clip-embedder.ts'

interface Options {
  readonly data: ScenesConfig
  readonly clip: ClipEmbedder
  /** Scenes whose embeddings are made once and kept. */
  readonly pool: number
  readonly seed: number
}

/** What is learnt from: scenes by the embedding that a CLIP has of their pictures, and by their captions. */
export async function embeddedScenes({ data, clip, pool, seed }: Options) {
  const dataset = await trainingScenes(data, { size: clip.side, seed })
  const images = async (positions: readonly number[]) => (await dataset.batch(positions)).images
  const embeds = embeddingPool({ images, clip, count: pool, stamp: { data, size: clip.side, seed } })
  return {
    dataset,
    embeds,
    /** The first embeddings, all unless so many are asked for: [count, D]. */
    first: (count = pool): Promise<NdArray<'f32'>> => embeds(positionsFrom(0, Math.min(count, pool))),
    /** Captions of the first scenes. */
    captions: (count: number): string[] => positionsFrom(0, count).map((position) => dataset.captionAt(position).text),
    /** Scenes by chance, each in one of its wordings, and whether a share `drop` of captions is left out there. */
    async draw(generator: Generator, count: number, drop: number) {
      const positions = Array.from(generator.randint(0, pool, [count]).data, Number)
      const captions = positions.map((position) => dataset.captionAt(position, generator.bits()).text)
      const left = generator.rand([count]).data
      const kept = captions.map((caption, i) => ((left[i] as number) < drop ? '' : caption))
      return { positions, captions, kept, pictures: await embeds(positions) }
    },
  }
}
