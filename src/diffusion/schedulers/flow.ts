import { ArgumentError } from '../../core/errors.ts'
import { flow, levelOf } from '../denoiser.ts'
import { toData } from '../predictions.ts'
import { consistency } from '../samplers/consistency.ts'
import { euler, heun } from '../samplers/euler.ts'
import { betaSigmas, exponentialSigmas, karrasSigmas, shiftSigma, stretchToTerminal } from '../sigmas.ts'
import { numpyLinspace } from '../spacing.ts'
import { kind, type Plan, type RunOptions } from './scheduler.ts'

// Flow matching: x = (1 − σ)x0 + σε, the network gives the velocity ε − x0, its timestep is 1000σ.

const shared = {
  num_train_timesteps: 1000,
  shift: 1,
  use_dynamic_shifting: false,
  base_shift: 0.5,
  max_shift: 1.15,
  base_image_seq_len: 256,
  max_image_seq_len: 4096,
  invert_sigmas: false,
  shift_terminal: null as number | null,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  time_shift_type: 'exponential' as 'exponential' | 'linear',
}
type Options = typeof shared

/** Order: shift, or μ of the resolution; stretch to the terminal level; respread. The default levels are shifted at both ends first. */
function levelsOf(options: Options, run: RunOptions): number[] {
  const { num_train_timesteps: trainSteps, shift, use_dynamic_shifting: dynamic, shift_terminal: terminal } = options
  if (dynamic && run.mu === undefined)
    throw new ArgumentError('use_dynamic_shifting needs { mu } of the resolution; see dynamicShift')
  const mu = run.mu as number
  const factor = !dynamic ? shift : options.time_shift_type === 'exponential' ? Math.exp(mu) : mu
  const lowest = dynamic ? 1 / trainSteps : shiftSigma(1 / trainSteps, shift)
  const even = () => numpyLinspace(1, lowest, run.steps as number)
  const base = run.sigmas ?? run.timesteps?.map((t) => t / trainSteps) ?? even()
  const shifted = base.map((sigma) => shiftSigma(sigma, factor))
  const sigmas = terminal ? stretchToTerminal(shifted, terminal) : shifted
  const range = { min: sigmas.at(-1) as number, max: sigmas[0] as number, steps: sigmas.length }
  if (options.use_karras_sigmas) return karrasSigmas(range)
  if (options.use_exponential_sigmas) return exponentialSigmas(range)
  return options.use_beta_sigmas ? betaSigmas(range) : sigmas
}

/** `again`: every step but the last also evaluates the network at the next level. */
function planOf(options: Options, run: RunOptions, again: boolean, sample: (sigmas: readonly number[]) => Plan['sample']): Plan {
  const sigmas = levelsOf(options, run).map(Math.fround).slice(run.start)
  const trainSteps = options.num_train_timesteps
  const inverted = options.invert_sigmas
  const timesteps = run.timesteps?.slice(run.start) ?? sigmas.map((sigma) => (inverted ? 1 - sigma : sigma) * trainSteps)
  return {
    path: flow,
    timesteps: again ? timesteps.flatMap((_, i) => timesteps.slice(i, i + 2)) : timesteps,
    initialSigma: 1,
    // Networks of inverted levels count time from the noise, so that their velocity points the other way.
    data: (output, x, sigma) => toData('flow_prediction', inverted ? output.neg() : output, x, levelOf(flow, sigma)),
    sample: sample([...sigmas, 0]),
  }
}

export const FlowMatchEulerDiscreteScheduler = kind({
  defaults: { ...shared, stochastic_sampling: false },
  choices: { time_shift_type: ['exponential', 'linear'] },
  takes: ['timesteps', 'sigmas', 'mu'],
  plan: (options, run) =>
    planOf(options, run, false, (sigmas) => (denoise, x) => {
      const { generator } = run
      return options.stochastic_sampling ? consistency(denoise, x, sigmas, { path: flow, generator }) : euler(denoise, x, sigmas)
    }),
})

export const FlowMatchHeunDiscreteScheduler = kind({
  defaults: { num_train_timesteps: 1000, shift: 1 },
  plan: (options, run) => planOf({ ...shared, ...options }, run, true, (sigmas) => (denoise, x) => heun(denoise, x, sigmas)),
})

export const FlowMatchLCMScheduler = kind({
  defaults: { ...shared, scale_factors: null as readonly number[] | null, upscale_mode: 'bicubic' },
  choices: { time_shift_type: ['exponential', 'linear'] },
  takes: ['timesteps', 'sigmas', 'mu'],
  plan: (options, run) => {
    if (options.scale_factors) throw new ArgumentError('scale_factors: growing the sample between steps is not supported')
    const { generator } = run
    return planOf(options, run, false, (sigmas) => (denoise, x) => consistency(denoise, x, sigmas, { path: flow, generator }))
  },
})
