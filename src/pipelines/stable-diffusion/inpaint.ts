import { ArgumentError } from '../../core/errors.ts'
import type { Level } from '../../diffusion/index.ts'
import { fillMasked, maskedLatents } from '../../images/canvas.ts'
import type { Pixels } from '../../images/pixels.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import type { Canvas } from '../images/canvas.ts'
import { asBatch, fitted } from '../images/fit.ts'
import { binaryMask, thinned } from '../images/mask.ts'
import type { Conditioner } from '../parts/denoiser.ts'
import { noised, type Prepared } from '../sampling/run.ts'
import { startOf, stepsBefore } from '../sampling/schedule.ts'
import { conditions } from './conditions.ts'
import { latentsOf, type SamplingLatents, sampleTask, spanOf } from './latent-run.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'
import type { SamplingPlan } from './plan.ts'

/**
 * Latents of a picture repainted where its mask is white, as diffusers' `…InpaintPipeline`s sample them: by a network of nine
 * channels, which sees mask and picture, or by one of four, whose latents are brought back outside the mask before every step
 * (Lugmayr et al. 2022, eq. 8).
 */
export async function* inpaint(
  model: StableDiffusionModel,
  settings: Settings,
  plan: SamplingPlan,
  conditioners: readonly Conditioner[],
  { image, mask: painted, box }: Canvas,
): SamplingLatents {
  const { scheduler, grid, strength } = plan
  const { components, factor, latents: coder } = model
  const channels = components.unet.config.in_channels
  const sees = channels === 2 * coder.channels + 1
  if (!sees && channels !== coder.channels) {
    throw new ArgumentError(`${components.place}: its U-Net takes ${channels} channels, and in-painting 4 or 9`)
  }
  const { latents: given, num } = settings
  if (sees && !image)
    throw new ArgumentError(`image: the U-Net of ${components.place} sees the picture outside the mask: latents are not enough`)
  const fitting = { ...plan, box, mode: settings.resizeMode }
  const levels = image && fitted(image, fitting)
  const pixels = levels && asBatch(levels)
  const mask = binaryMask(painted, fitting)
  const kept = pixels?.mul(mask.mul(-1).add(1))
  const small = thinned(mask, factor)
  const later = settings.denoisingStart !== undefined && settings.denoisingStart > 0 && settings.denoisingStart < 1
  const start = later ? stepsBefore(scheduler, grid, settings.denoisingStart as number) : startOf(plan)
  const told = await conditions(model, settings, plan.guidance, plan, spanOf(settings, plan, { start }))
  const begun = startOfMasked(settings.fill, levels, mask)
  const shape = [1, coder.channels, plan.height / factor, plan.width / factor]

  // In diffusers the first picture's generator codes the given picture, and its mask, for all of them.
  let data: NdArray<'f32'> | undefined
  let masked: NdArray<'f32'> | undefined
  let started: NdArray<'f32'> | undefined
  async function prepare(generator: Generator, picture: number, initialSigma: number): Promise<Prepared> {
    const pure = strength === 1 && !later
    if (given) data = latentsOf(given, picture, num)
    else if (picture === 0 && !(pure && sees)) data = await coder.encode(pixels as NdArray<'f32'>, generator)
    const noise = generator.randn(shape)
    if (picture === 0 && sees) masked = await coder.encode(kept as NdArray<'f32'>, generator)
    // A network of four channels does not see the masked picture, and diffusers draws for it all the same.
    else if (picture === 0 && !given) coder.skip(shape, generator)
    const behind = masked && NdArray.concat([small, masked], 1)
    const from = picture === 0 || given ? await begun(data, small, coder, generator) : started
    started = from
    const first = (x: NdArray, level: Level): NdArray => (pure || later ? x : noised(from as NdArray, noise)(x, level, 0))
    const x = pure ? noise.mul(initialSigma) : (data as NdArray<'f32'>)
    if (sees) {
      const blend = (state: NdArray, level: Level, call: number) => (call === 0 ? first(state, level) : state)
      return { x, blend: pure || later ? undefined : blend, channels: behind }
    }
    const known = data as NdArray
    const outside = (state: NdArray, what: NdArray) => what.mul(small.mul(-1).add(1)).add(state.mul(small))
    return {
      x,
      blend: (state, level, call) =>
        call === 0 ? first(state, level) : outside(state, known.mul(level.alpha).add(noise.mul(level.sigma))),
      postprocess: (state) => outside(state, known) as NdArray<'f32'>,
    }
  }

  return yield* sampleTask(model, settings, plan, {
    conditions: told,
    conditioners,
    start,
    prepare,
    onPrepared: () => model.done(coder),
  })
}

/** What the run starts from, of the picture's latents: with another filling of the masked part. */
function startOfMasked(fill: Settings['fill'], levels: Pixels | undefined, mask: NdArray<'f32'>) {
  const [, , H, W] = mask.shape as [number, number, number, number]
  return async (
    data: NdArray<'f32'> | undefined,
    small: NdArray<'f32'>,
    coder: StableDiffusionModel['latents'],
    generator: Generator,
  ): Promise<NdArray<'f32'> | undefined> => {
    if (fill === 'original' || !data) return data
    // Draws of its own: those of the run are diffusers'.
    const own = generator.fork('fill')
    if (fill !== 'fill')
      return maskedLatents(data, small, fill === 'noise' ? 'latent noise' : 'latent nothing', own.randn(data.shape))
    const grey = new NdArray(
      Uint8Array.from(mask.data, (on) => on * 255),
      [H, W, 1],
      'u8',
    )
    return levels ? coder.encode(asBatch(fillMasked(levels, grey)), own) : data
  }
}
