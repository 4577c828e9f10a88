import type { FilmDataset } from '../../../data/index.ts'
import { type VideoNetwork, videoCoder } from '../../../pipelines/index.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'
import { filmPool } from '../latents/pool.ts'
import { filmAt } from './autoencoder.ts'
import type { VideoFlow } from './schema.ts'

type OwnVideoNetwork = Extract<VideoNetwork, { readonly className: 'CausalVideoVAE' }>
type Bucket = VideoFlow['buckets'][number]

/** Latents of a recipe's films: a pool for each of its buckets, made when it is first asked for. */
export function filmPools({
  recipe,
  vae,
  films,
  seed,
}: {
  recipe: VideoFlow
  vae: OwnVideoNetwork
  films: FilmDataset
  seed: number
}) {
  const { scaling_factor: scale } = vae.config
  const pools = recipe.buckets.map((bucket) =>
    filmPool({
      films: async (positions) => positions.map((at) => filmAt(films, at, bucket)),
      ...{ vae, scale, count: bucket.pool },
      stamp: { films: recipe.data, bucket: { ...bucket, weight: undefined, pool: undefined }, seed },
    }),
  )
  const total = recipe.buckets.reduce((sum, { weight }) => sum + weight, 0)
  return {
    /** A film of some bucket: its latents [C, T, h, w], a caption, and its frame rate. */
    async draw(generator: Generator) {
      let left = generator.rand([1]).item() * total
      const found = recipe.buckets.findIndex(({ weight }) => {
        left -= weight
        return left < 0
      })
      const at = found < 0 ? recipe.buckets.length - 1 : found
      const bucket = recipe.buckets[at] as Bucket
      const position = Number(generator.randint(0, bucket.pool, [1]).item())
      const latents = (await (pools[at] as (typeof pools)[number])([position])) as NdArray<'f32'>
      const caption = films.captionAt(position, generator.bits())
      return { clean: latents.reshape(latents.shape.slice(1)) as NdArray<'f32'>, caption, rate: bucket.rate }
    },
    /** Films of other data as latents, in the first bucket's shape. */
    async encode(data: FilmDataset, positions: readonly number[]): Promise<NdArray<'f32'>[]> {
      const coder = videoCoder(vae, {})
      const made: NdArray<'f32'>[] = []
      for (const at of positions) {
        const z = (await coder.encodeMean(filmAt(data, at, recipe.buckets[0] as Bucket))).mul(scale)
        made.push(z.reshape(z.shape.slice(1)) as NdArray<'f32'>)
      }
      await coder.release()
      return made
    },
  }
}
