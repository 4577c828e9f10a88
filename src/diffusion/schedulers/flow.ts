import { ArgumentError } from '../../core/errors.ts'
import { flow, levelOf } from '../paths.ts'
import { toData } from '../predictions.ts'
import { consistency } from '../samplers/consistency.ts'
import { euler, heun } from '../samplers/euler.ts'
import { shiftSigma, stretchToTerminal } from '../sigmas.ts'
import { checkTimesteps, numpyLinspace } from '../spacing.ts'
import { spreadOf } from './grids.ts'
import { type RunOptions, type SamplingPlan, spec } from './scheduler.ts'

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
  /** The ends of spread levels: no arguments in diffusers, yet read from a shared config. */
  sigma_min: null as number | null,
  sigma_max: null as number | null,
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
  const spread = spreadOf(options, { ...run, timesteps: undefined })
  return spread ? spread({ min: sigmas.at(-1) as number, max: sigmas[0] as number, steps: sigmas.length }) : sigmas
}

/** Fresh noise at every step needs levels that fall; with inverted ones diffusers ends in noise. */
function checkStochastic({ invert_sigmas: inverted }: Options, name: string): void {
  if (inverted)
    throw new ArgumentError(
      `${name} with invert_sigmas: sampling with fresh noise ends in noise in diffusers; leave one of them false`,
    )
}

/** `again`: every step but the last also evaluates the network at the next level. */
function planOf(
  options: Options,
  run: RunOptions,
  again: boolean,
  sample: (sigmas: readonly number[]) => SamplingPlan['sample'],
): SamplingPlan {
  const sigmas = levelsOf(options, run).map(Math.fround).slice(run.start)
  const trainSteps = options.num_train_timesteps
  const inverted = options.invert_sigmas
  if (run.timesteps) checkTimesteps(run.timesteps)
  const own = inverted ? undefined : run.timesteps?.slice(run.start)
  const timesteps = own ?? sigmas.map((sigma) => (inverted ? 1 - sigma : sigma) * trainSteps)
  return {
    path: flow,
    timesteps: again ? timesteps.flatMap((_, i) => timesteps.slice(i, i + 2)) : timesteps,
    initialSigma: 1,
    // Networks of inverted levels count time from the noise, so that their velocity points the other way.
    data: (output, x, sigma) => toData('flow_prediction', inverted ? output.neg() : output, x, levelOf(flow, sigma)),
    sample: sample([...sigmas, 0]),
  }
}

export const FlowMatchEulerDiscreteScheduler = spec({
  defaults: { ...shared, stochastic_sampling: false },
  choices: { time_shift_type: ['exponential', 'linear'] },
  accepts: ['timesteps', 'sigmas', 'mu'],
  plan: (options, run) => {
    if (options.stochastic_sampling) checkStochastic(options, 'stochastic_sampling')
    return planOf(options, run, false, (sigmas) => (denoise, x) => {
      const { generator } = run
      return options.stochastic_sampling ? consistency(denoise, x, sigmas, { path: flow, generator }) : euler(denoise, x, sigmas)
    })
  },
})

export const FlowMatchHeunDiscreteScheduler = spec({
  defaults: { num_train_timesteps: 1000, shift: 1 },
  plan: (options, run) => planOf({ ...shared, ...options }, run, true, (sigmas) => (denoise, x) => heun(denoise, x, sigmas)),
})

export const FlowMatchLCMScheduler = spec({
  defaults: { ...shared, scale_factors: null as readonly number[] | null, upscale_mode: 'bicubic' },
  choices: { time_shift_type: ['exponential', 'linear'] },
  accepts: ['timesteps', 'sigmas', 'mu'],
  plan: (options, run) => {
    if (options.scale_factors) throw new ArgumentError('scale_factors: growing the sample between steps is not supported')
    checkStochastic(options, 'FlowMatchLCMScheduler')
    const { generator } = run
    return planOf(options, run, false, (sigmas) => (denoise, x) => consistency(denoise, x, sigmas, { path: flow, generator }))
  },
})
