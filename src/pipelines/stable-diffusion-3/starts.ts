import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import type { Canvas } from '../images/canvas.ts'
import { asBatch, fitted, levelsOf } from '../images/fit.ts'
import { binaryMask, softened, thinned } from '../images/mask.ts'
import { noised, type Prepared } from '../sampling/run.ts'
import { type ControlNet, forControlNet, repaints } from './controlnet.ts'
import type { StableDiffusion3Model } from './model.ts'
import type { Settings } from './options.ts'
import type { SamplingPlan } from './plan.ts'

/** Draws what a picture starts from, in diffusers' order. */
export type Prepare = (generator: Generator, picture: number, initialSigma: number) => Promise<Prepared>

/** From noise alone. */
export function fromNoise(model: StableDiffusion3Model, plan: SamplingPlan): Prepare {
  const shape = shapeOf(model, plan)
  return async (generator, _, initialSigma) => ({ x: generator.randn(shape).mul(initialSigma) })
}

/** From a picture, noised to the level at which its strength starts. */
export function fromImage({ latents: coder }: StableDiffusion3Model, { image }: Settings, plan: SamplingPlan): Prepare {
  const pixels = asBatch(fitted(levelsOf(image as NdArray), plan))
  return async (generator) => {
    const x = await coder.encode(pixels, generator)
    return { x, blend: noised(x, generator.randn(x.shape)) }
  }
}

/**
 * A picture repainted where its mask is white: by a network that sees mask and picture behind the latents, or by one that does not,
 * whose latents are brought back outside the mask before every step (Lugmayr et al. 2022, eq. 8).
 */
export function fromMasked(model: StableDiffusion3Model, plan: SamplingPlan, { image, mask: painted, box }: Canvas): Prepare {
  const { components, factor, latents: coder } = model
  const sees = components.transformer.config.in_channels > coder.channels
  const shape = shapeOf(model, plan)
  const fitting = { ...plan, box }
  const pixels = asBatch(fitted(image as NonNullable<typeof image>, fitting))
  const mask = binaryMask(painted, fitting)
  const small = thinned(mask, factor)
  const pure = plan.strength === 1
  // In diffusers the first picture's generator codes the given picture, and its mask, for all of them.
  let data: NdArray<'f32'> | undefined
  let masked: NdArray<'f32'> | undefined
  return async (generator, picture, initialSigma) => {
    if (picture === 0 && !(pure && sees)) data = await coder.encode(pixels, generator)
    const noise = generator.randn(shape)
    if (picture === 0 && sees) masked = await coder.encode(pixels.mul(mask.mul(-1).add(1)), generator)
    const begun = noised(data ?? noise, noise)
    const x = pure ? noise.mul(initialSigma) : (data as NdArray<'f32'>)
    if (sees) return { x, blend: pure ? undefined : begun, channels: NdArray.concat([small, masked as NdArray<'f32'>], 1) }
    const known = data as NdArray<'f32'>
    const outside = (state: NdArray, what: NdArray) => what.mul(small.mul(-1).add(1)).add(state.mul(small))
    return {
      x,
      blend: (state, level, call) =>
        call > 0 ? outside(state, known.mul(level.alpha).add(noise.mul(level.sigma))) : pure ? state : begun(state, level, call),
      postprocess: (state) => outside(state, known),
    }
  }
}

/**
 * From noise, with the ControlNets' control images as latents behind the state. diffusers draws these latents from PyTorch's global
 * generator, each entry of the batch its own: here it is one of the run's seed, as after `torch.manual_seed(seed)`.
 */
export async function controlled(model: StableDiffusion3Model, settings: Settings, plan: SamplingPlan): Promise<Prepare> {
  const { num, seed, guidance } = settings
  const entries = guidance > 1 ? 2 : 1
  const global = new Generator(seed)
  const images = controlImages(model, settings)
  const each: NdArray<'f32'>[] = []
  for (const [i, net] of model.controlnets.entries()) each.push(await controlOf(net, images[i] as NdArray))
  const start = fromNoise(model, plan)
  return async (generator, picture, initialSigma) => {
    const rows = Array.from({ length: entries }, (_, half) =>
      each.map((all) => all.slice(0, half * num + picture, half * num + picture + 1)),
    )
    const channels = NdArray.concat(rows.map((row) => NdArray.concat(row, 1)))
    return { ...(await start(generator, picture, initialSigma)), channels }
  }

  /** [entries · num, C, h, w]: all pictures' unguided entries first. */
  async function controlOf(net: ControlNet, image: NdArray): Promise<NdArray<'f32'>> {
    const pixels = asBatch(fitted(levelsOf(image), plan))
    const [, ...one] = shapeOf(model, plan)
    if (!repaints(net)) {
      const latents = await model.latents.encodeWith(pixels, global.randn([entries * num, ...one]))
      return forControlNet(net, latents, model.components)
    }
    const mask = binaryMask(softened(levelsOf(settings.mask as NdArray), 0), plan)
    const kept = mask.mul(-1).add(1)
    const latents = await model.latents.encodeWith(pixels.mul(kept).sub(mask), global.randn([num, ...one]))
    const seen = thinned(kept, model.factor).expand([num, 1, ...one.slice(1)])
    const control = NdArray.concat([latents, seen], 1)
    return NdArray.concat(Array.from({ length: entries }, () => control))
  }
}

/** One a ControlNet; a picture to repaint may be given as such. */
function controlImages({ controlnets }: StableDiffusion3Model, { controls = [], image }: Settings): NdArray[] {
  const given = controls.map(({ picture }) => picture)
  const all = given.length === 0 && image ? controlnets.map(() => image) : given
  if (all.length === controlnets.length) return all
  throw new ArgumentError(`controls: ${all.length} pictures for ${controlnets.length} ControlNets: give one each`)
}

const shapeOf = ({ latents, factor }: StableDiffusion3Model, { height, width }: SamplingPlan) => [
  1,
  latents.channels,
  height / factor,
  width / factor,
]
