import type { Blend } from '../../diffusion/index.ts'
import type { Denoiser, DenoiserRun } from '../parts/denoiser.ts'

/**
 * What diffusers' `DiTPipeline` does with schedulers that scale the network's input (Euler, Heun and the others in σ), where its other
 * pipelines do not: the scaled state is what the scheduler goes on from. The same seed then gives the same picture, for better or worse.
 */
export function scaledStates<C>(denoiser: Denoiser<C>): { readonly denoiser: Denoiser<C>; readonly blend: Blend } {
  let scale = 1
  // The scheduler scales what `blend` has scaled already.
  const unscaled = (run: DenoiserRun): DenoiserRun => ({
    predict: (sample, ...rest) => run.predict(sample.mul(scale).cast('f32'), ...rest),
  })
  return {
    denoiser: {
      ...denoiser,
      begin: (conditioners) => unscaled(denoiser.begin(conditioners)),
      calibrate: (conditioners, work) => denoiser.calibrate(conditioners, (run) => work(unscaled(run))),
    },
    blend(x, { alpha, sigma }) {
      scale = alpha === 1 ? Math.hypot(1, sigma) : 1
      return scale === 1 ? x : x.div(scale)
    },
  }
}
