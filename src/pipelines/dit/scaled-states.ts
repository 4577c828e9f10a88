import type { Blend } from '../../diffusion/index.ts'
import type { Denoiser } from '../parts/denoiser.ts'

/**
 * What diffusers' `DiTPipeline` does with schedulers that scale the network's input (Euler, Heun and the others in σ), where its other
 * pipelines do not: the scaled state is what the scheduler goes on from. The same seed then gives the same picture, for better or worse.
 */
export function scaledStates<C>(denoiser: Denoiser<C>): { readonly denoiser: Denoiser<C>; readonly blend: Blend } {
  let scale = 1
  return {
    denoiser: {
      ...denoiser,
      begin(conditioners) {
        const run = denoiser.begin(conditioners)
        // The scheduler scales what `blend` has scaled already.
        return { predict: (sample, ...rest) => run.predict(sample.mul(scale).cast('f32'), ...rest) }
      },
    },
    blend(x, { alpha, sigma }) {
      scale = alpha === 1 ? Math.hypot(1, sigma) : 1
      return scale === 1 ? x : x.div(scale)
    },
  }
}
