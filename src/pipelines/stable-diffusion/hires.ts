import { ArgumentError } from '../../core/errors.ts'
import { hiresSize } from '../../images/canvas.ts'
import { imagesOf } from '../../images/pixels.ts'
import { resize } from '../../images/resize.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Size } from '../images/fit.ts'
import { loadUpscaler } from '../upscale/index.ts'
import type { StableDiffusionModel } from './model.ts'
import { defaultSettings, type Settings } from './options.ts'
import type { SamplingPlan } from './plan.ts'

/** The size of the second pass of a hires fix. @throws ArgumentError */
export const secondSize = ({ factor }: StableDiffusionModel, { width, height }: Size, hires: number): Size =>
  hiresSize({ width, height }, { scale: hires }, factor)

/**
 * What the second pass of a hires fix is: image to image from what the first made, enlarged as latents (bilinear), by Lanczos, or by
 * a network (AUTOMATIC1111's web UI).
 */
export async function secondPass(
  model: StableDiffusionModel,
  settings: Settings,
  plan: SamplingPlan,
  latents: NdArray<'f32'>,
): Promise<Settings> {
  const { hires = 1, hiresSteps, hiresStrength, num } = settings
  const size = secondSize(model, plan, hires)
  const { hires: _, hiresSteps: __, hiresStrength: ___, timesteps: ____, sigmas: _____, ...rest } = settings
  const second = {
    ...rest,
    ...{ hiresStrength: defaultSettings.hiresStrength, ...size, strength: hiresStrength, steps: hiresSteps ?? plan.steps },
  }
  const large =
    model.hiresUpscaler === 'latent'
      ? enlarged(latents, { height: size.height / model.factor, width: size.width / model.factor })
      : await throughPictures(model, settings, latents, size)
  if (large.shape[0] !== num) throw new ArgumentError(`hires: ${large.shape[0]} latents for ${num} pictures`)
  return { ...second, latents: large }
}

/** Latents in another size, bilinearly. */
function enlarged(latents: NdArray<'f32'>, size: Size): NdArray<'f32'> {
  const { height, width } = size
  return NdArray.stack(
    imagesOf(latents as never).map((one) => resize(one as NdArray<'f32'>, { height, width, kernel: 'bilinear' })),
  )
}

/** Latents of the pictures enlarged: decoded, made larger, and coded again, the most likely. */
async function throughPictures(
  { latents: coder, hiresUpscaler, compile, done }: StableDiffusionModel,
  { hires = 1, signal }: Settings,
  latents: NdArray<'f32'>,
  { height, width }: Size,
): Promise<NdArray<'f32'>> {
  const upscaler = loadUpscaler(hiresUpscaler, compile)
  try {
    const coded: NdArray<'f32'>[] = []
    for (let k = 0; k < (latents.shape[0] as number); k++) {
      const picture = (await coder.decode(latents.slice(0, k, k + 1) as NdArray<'f32'>)).clamp(-1, 1)
      const unit = picture.reshape(picture.shape.slice(1)).add(1).div(2).cast('f32')
      const steps = upscaler.upscale(unit, { scale: hires, signal })
      let next = await steps.next()
      while (!next.done) next = await steps.next()
      const fitted = resize(next.value, { height, width, kernel: 'lanczos', range: [0, 1] })
      const batch = fitted
        .mul(2)
        .sub(1)
        .reshape([1, ...fitted.shape])
        .cast('f32')
      coded.push(await coder.encodeScaled(batch))
    }
    await done(coder)
    return NdArray.concat(coded)
  } finally {
    await upscaler.release()
  }
}
