import { ArgumentError } from '../../core/errors.ts'
import { spacedTimesteps } from '../../diffusion/index.ts'
import { resizeLevels } from '../../images/pillow.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { asBatch, levelsOf } from '../images/fit.ts'
import { binaryMask, thinned } from '../images/mask.ts'
import type { NoisedClip } from './clip.ts'
import type { GlideNetwork, Known } from './model.ts'
import type { GlideSettings } from './options.ts'

/** What a folder of GLIDE's files holds. */
export interface GlideModel {
  readonly place: string
  readonly base: GlideNetwork | undefined
  readonly upsample: GlideNetwork | undefined
  readonly baseInpaint: GlideNetwork | undefined
  readonly upsampleInpaint: GlideNetwork | undefined
  readonly clip: NoisedClip | undefined
}

/** What a run does, held against the files that are there. @throws ArgumentError */
export function planOf(model: GlideModel, settings: GlideSettings) {
  const { image, mask, clipGuidance, steps, spacing, superResSteps, superResSpacing } = settings
  const lacks = (file: string) => new ArgumentError(`${model.place} has no ${file}, which this needs`)
  if (!image !== !mask) throw new ArgumentError('inpaint: a picture and its mask are needed, image and mask')
  const base = mask ? model.baseInpaint : model.base
  if (!base) throw lacks(mask ? 'base_inpaint.pt' : 'base.pt')
  if (clipGuidance !== undefined && !model.clip) throw lacks('clip_image_enc.pt and clip_text_enc.pt')
  const larger = mask ? model.upsampleInpaint : model.upsample
  const guidance = settings.guidance ?? (clipGuidance === undefined ? (mask ? 5 : 3) : 1)
  const spaced = (one: GlideNetwork, count: number | undefined, how: string) =>
    spacedTimesteps(one.trainSteps, count === undefined ? how : String(count))
  return {
    ...{ base, larger, guidance },
    timesteps: spaced(base, spacing === undefined ? steps : undefined, spacing ?? ''),
    largerTimesteps: larger ? spaced(larger, superResSteps, superResSpacing) : [],
  }
}

/** What stays of a picture at a network's size. The mask is the small one's, enlarged. */
export function knownOf({ image, mask }: GlideSettings, small: number, side: number): Known | undefined {
  if (!image || !mask) return undefined
  const repainted = thinned(binaryMask(levelsOf(mask), { height: small, width: small }), 1)
  const coarse = repainted.mul(-1).add(1).cast('f32')
  const where = Float32Array.from({ length: side * side }, (_, i) => {
    const [y, x] = [Math.floor(Math.floor(i / side) * (small / side)), Math.floor((i % side) * (small / side))]
    return coarse.data[y * small + x] as number
  })
  const placed = new NdArray(where, [1, 1, side, side], 'f32')
  const picture = asBatch(resizeLevels(levelsOf(image), { height: side, width: side, kernel: 'bicubic' }))
  return { picture: picture.mul(placed).cast('f32'), where: placed }
}
