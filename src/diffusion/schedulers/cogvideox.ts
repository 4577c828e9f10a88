import { zeroTerminal } from '../betas.ts'
import { levelOf, vp } from '../paths.ts'
import { type Prediction, toData } from '../predictions.ts'
import { ddim } from '../samplers/ddim.ts'
import { dpmSolver } from '../samplers/dpm-solver.ts'
import { multistep } from '../samplers/exponential.ts'
import { type Spacing, timestepsBySpacing } from '../spacing.ts'
import { type RunOptions, spec } from './scheduler.ts'
import { alphaTable, betaOptions, vpSigma } from './tables.ts'

// CogVideoX: a schedule with its signal-to-noise ratio divided by snr_shift_scale², as longer sequences need.

const shared = {
  ...betaOptions,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear' as typeof betaOptions.beta_schedule,
  clip_sample: true,
  clip_sample_range: 1,
  sample_max_value: 1,
  set_alpha_to_one: true,
  steps_offset: 0,
  prediction_type: 'epsilon' as Prediction,
  timestep_spacing: 'leading' as Spacing,
  rescale_betas_zero_snr: false,
  snr_shift_scale: 3,
}

/** Timesteps, and where each step starts and lands. Clipping is an option of the class that its steps never use. */
function gridOf(options: typeof shared, run: RunOptions) {
  const { snr_shift_scale: scale, num_train_timesteps: trainSteps, steps_offset: offset } = options
  const shifted = alphaTable(options).map((bar) => bar / (scale + (1 - scale) * bar))
  const bars = options.rescale_betas_zero_snr ? zeroTerminal(shifted) : shifted
  const all = timestepsBySpacing(options.timestep_spacing, run.steps as number, { trainSteps, offset })
  const timesteps = all.slice(run.start)
  const hop = Math.floor(trainSteps / all.length)
  const final = options.set_alpha_to_one ? 0 : vpSigma(bars, 0)
  return {
    timesteps,
    hop,
    sigmas: timesteps.map((t) => vpSigma(bars, t)),
    targets: timesteps.map((t) => (t >= hop ? vpSigma(bars, t - hop) : final)),
  }
}

export const CogVideoXDDIMScheduler = spec({
  defaults: shared,
  plan: (options, run) => {
    const { timesteps, sigmas, targets } = gridOf(options, run)
    return {
      timesteps,
      initialSigma: 1,
      data: (output, x, sigma) => toData(options.prediction_type, output, x, levelOf(vp, sigma)),
      sample: (denoise, x) => ddim(denoise, x, sigmas, { targets }),
    }
  },
})

export const CogVideoXDPMScheduler = spec({
  defaults: shared,
  plan: (options, run) => {
    const { timesteps, sigmas, targets, hop } = gridOf(options, run)
    // The first step and the one to the clean sample are of first order. diffusers draws twice in the others.
    const first = (i: number) => i === 0 || (timesteps[i] as number) < hop
    const solver = { ...dpmSolver({ stochastic: true }, (i) => (first(i) ? 1 : 2)), draws: (i: number) => (first(i) ? 1 : 2) }
    return {
      timesteps,
      initialSigma: 1,
      data: (output, x, sigma) => toData(options.prediction_type, output, x, levelOf(vp, sigma)),
      sample: (denoise, x) =>
        multistep(denoise, x, [...sigmas, targets.at(-1) as number], solver, { generator: run.generator, targets }),
    }
  },
})
