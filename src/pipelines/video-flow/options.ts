import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { type VideoDitConfig, type VideoVaeConfig, videoFactors } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { checkSides, filmOptions, guidanceOption } from '../video/options.ts'

const picture = z.instanceof(NdArray).optional()

export const options = z.object({
  ...filmOptions,
  steps: filmOptions.steps.default(20),
  guidance: guidanceOption.default(4),
  image: picture.meta({ media: 'picture', description: 'a picture to start from' }),
  last: picture.meta({ media: 'picture', description: 'a picture that a film ends with; the same as --image makes a loop' }),
  extend: picture.meta({
    media: 'film',
    description: 'a film that is gone on from: an animated WebP or GIF, a WebM made here, or a folder of pictures',
  }),
})
export type Settings = z.output<typeof options>

/** Latent frames of a film that are given to what goes on from it, besides the first of them: more tell how it moves. */
const MOST_GIVEN = 2

/** A run's size in pixels and latents, its frames, and how many of those are the end of a film that it goes on from. @throws ArgumentError */
export function shapeOf({ config, vae }: { config: VideoDitConfig; vae: VideoVaeConfig }, settings: Settings) {
  const { space, time } = videoFactors(vae)
  const { sample_size, sample_frames, sample_rate, patch_size: p, patch_size_t: pt } = config
  const { image, last, extend, frames = sample_frames, fps = sample_rate } = settings
  const [T = 0, C = 0, H = 0, W = 0] = extend?.shape ?? []
  if (extend && (extend.shape.length !== 4 || C !== 3 || T < 1))
    throw new ArgumentError(`extend: expected a film [T, 3, H, W], got [${extend.shape.join(', ')}]`)
  if (extend && image) throw new ArgumentError('extend: a run goes on from a film or starts with an image; give one of them')
  const own = sample_size * space
  const { width = W || own, height = H || own } = settings
  checkSides({ width, height }, space * p)
  const latentFrames = Math.ceil((1 + Math.ceil((frames - 1) / time)) / pt) * pt
  if (last && latentFrames < 2)
    throw new ArgumentError(`last: a film of ${frames} frames has no end; make one of ${time + 1} or more`)
  const overlap = extend ? 1 + time * Math.min(MOST_GIVEN, Math.floor((T - 1) / time), Math.max(0, latentFrames - 2)) : 0
  if (extend && frames <= overlap)
    throw new ArgumentError(
      `extend: ${frames} frames are no more than the ${overlap} that the run goes on from; give more frames`,
    )
  const latents = [1, config.in_channels, latentFrames, height / space, width / space]
  return { width, height, frames, fps, latentFrames, overlap, latents }
}
