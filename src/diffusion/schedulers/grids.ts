import { ArgumentError } from '../../core/errors.ts'
import type { Prediction } from '../predictions.ts'
import { exponentialSigmas, interpolate, shiftSigma, sigmaTable, spreads, stretchToTerminal, timestepOfSigma } from '../sigmas.ts'
import { checkTimesteps, numpyLinspace, roundHalfEven, type Spacing, trailingTimesteps, wholeTimesteps } from '../spacing.ts'
import type { RunOptions } from './scheduler.ts'
import { alphaTable, betaOptions } from './tables.ts'

/** Timesteps, one a step, and noise levels, one more. Levels are σ/α, or σ itself of a flow. */
export interface Grid {
  readonly timesteps: readonly number[]
  readonly sigmas: readonly number[]
}

/** The options that choose noise levels. */
export const sigmaOptions = {
  ...betaOptions,
  prediction_type: 'epsilon' as Prediction,
  timestep_spacing: 'linspace' as Spacing,
  steps_offset: 0,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  /** The ends of spread levels. In most classes of diffusers no argument, yet read from a shared config. */
  sigma_min: null as number | null,
  sigma_max: null as number | null,
}
export type SigmaOptions = typeof sigmaOptions

/** The table of σ/α. Zero terminal SNR keeps a trace of signal in the last entry, ᾱ = 2⁻²⁴, as diffusers does. */
export function ratioTable(options: typeof betaOptions, zeroSnr = false): Float32Array {
  const bars = alphaTable(options, zeroSnr)
  if (zeroSnr) bars[bars.length - 1] = 2 ** -24
  return sigmaTable(bars)
}

type Spread = ((range: { min: number; max: number; steps: number }) => number[]) | undefined

type SpreadOptions = Pick<
  SigmaOptions,
  'use_karras_sigmas' | 'use_exponential_sigmas' | 'use_beta_sigmas' | 'sigma_min' | 'sigma_max'
>

/** The one way of spreading noise levels that a config asks for; more than one, or one with custom timesteps, is an error. */
export function spreadOf(options: SpreadOptions, run: RunOptions): Spread {
  const ways = (['use_karras_sigmas', 'use_exponential_sigmas', 'use_beta_sigmas'] as const).filter((way) => options[way])
  const [way] = ways
  if (ways.length > 1) throw new ArgumentError(`${ways.join(' and ')} contradict each other; set one`)
  if (way && run.timesteps) throw new ArgumentError(`custom timesteps contradict ${way}`)
  if (!way) return undefined
  const spread = {
    use_karras_sigmas: spreads.karras,
    use_exponential_sigmas: spreads.exponential,
    use_beta_sigmas: spreads.beta,
  }[way]
  return ({ min, max, steps }) => spread(options.sigma_max ?? max, options.sigma_min ?? min, steps)
}

/** Steps and levels of the samplers in σ (Euler, Heun, DPM2, LMS): fractional timesteps, a last level of 0. */
export function sigmaGrid(options: SigmaOptions, run: RunOptions, table: Float32Array, logLinear?: 'ends' | 'goes on'): Grid {
  const { num_train_timesteps: trainSteps, timestep_spacing: spacing, steps_offset: offset } = options
  if (run.sigmas) return { timesteps: run.sigmas.map((sigma) => timestepOfSigma(table, sigma)), sigmas: [...run.sigmas, 0] }
  const steps = run.steps ?? (run.timesteps as readonly number[]).length
  if (run.timesteps) checkTimesteps(run.timesteps, trainSteps)
  const spread = spreadOf(options, run)
  const timesteps =
    run.timesteps ??
    {
      linspace: () =>
        numpyLinspace(0, trainSteps - 1, steps)
          .reverse()
          .map(Math.fround),
      leading: () => Array.from({ length: steps }, (_, i) => (steps - 1 - i) * Math.floor(trainSteps / steps) + offset),
      trailing: () => trailingTimesteps(steps, { trainSteps }),
    }[spacing]()
  // Log-linear levels are one more than the steps: the run ends at the lowest, or goes on to 0 with a step more.
  const sigmas = logLinear
    ? exponentialSigmas({ min: table[0] as number, max: table.at(-1) as number, steps: steps + 1 })
    : timesteps.map((t) => interpolate(table, t))
  if (!spread && logLinear === 'ends') return { timesteps, sigmas: sigmas.map(Math.fround) }
  if (!spread) return { timesteps, sigmas: [...sigmas, 0].map(Math.fround) }
  const spreaded = spread({ min: sigmas.at(-1) as number, max: sigmas[0] as number, steps })
  return { timesteps: spreaded.map((sigma) => timestepOfSigma(table, sigma)), sigmas: [...spreaded, 0].map(Math.fround) }
}

/** What multiplies unit noise at the start of a sampler in σ. */
export function initialSigma({ sigmas }: Grid, spacing: Spacing): number {
  const max = Math.max(...sigmas)
  return spacing === 'leading' ? Math.sqrt(max * max + 1) : max
}

/** The options of the exponential integrators beside sigmaOptions. */
export const solverOptions = {
  ...sigmaOptions,
  use_flow_sigmas: false,
  flow_shift: 1,
  use_dynamic_shifting: false,
  time_shift_type: 'exponential',
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1,
  lower_order_final: true,
}
type SolverOptions = typeof solverOptions & SigmaOptions

export interface SolverGrid extends Grid {
  /** The grid's levels are σ of a flow, not σ/α. */
  readonly flow: boolean
}

/** What differs between the exponential integrators' grids. */
export interface SolverGridOptions {
  /** The last level: 0, that of timestep 0, or the last of the others again. */
  readonly last: 'zero' | 'first-timestep' | 'repeat'
  /** Whether timesteps of spread levels are rounded before they are cut to whole numbers. */
  readonly round: boolean
  readonly clipLambda?: number
  readonly lu?: boolean
  /** Flow levels from 1 down (UniPC) instead of from 1 − 1/T (DPM-Solver). */
  readonly flowFromOne?: boolean
  readonly terminal?: number | null
  /** The class takes no μ, so that use_dynamic_shifting has no effect. */
  readonly static?: boolean
}

/** Steps and levels of DPM-Solver, DEIS, UniPC and SA-Solver: whole timesteps, levels of the whole table. */
export function solverGrid(options: SolverOptions, run: RunOptions, table: Float32Array, how: SolverGridOptions): SolverGrid {
  const { num_train_timesteps: trainSteps, steps_offset: offset } = options
  const steps = run.steps ?? run.timesteps?.length ?? (run.sigmas as readonly number[]).length
  const spread = spreadOf(options, run) ?? (how.lu ? exponentialSigmas : undefined)
  const last = { zero: () => 0, 'first-timestep': () => table[0] as number, repeat: (s: readonly number[]) => s.at(-1) as number }
  if (spread) {
    if (run.timesteps) throw new ArgumentError('custom timesteps contradict use_lu_lambdas')
    if (run.sigmas) throw new ArgumentError('sigmas of your own contradict levels that the config spreads')
    const sigmas = spread({ min: table[0] as number, max: table.at(-1) as number, steps })
    if (options.use_flow_sigmas && how.flowFromOne) {
      const levels = sigmas.map((sigma) => sigma / (sigma + 1))
      const timesteps = levels.map((sigma) => Math.trunc(sigma * trainSteps))
      return { timesteps, sigmas: [...levels, last[how.last](levels)].map(Math.fround), flow: true }
    }
    const exact = sigmas.map((sigma) => timestepOfSigma(table, sigma))
    const round = (options.use_karras_sigmas || how.lu) && how.round
    const timesteps = exact.map((t) => (round ? roundHalfEven(t) : Math.trunc(t)))
    return { timesteps, sigmas: [...sigmas, last[how.last](sigmas)].map(Math.fround), flow: false }
  }
  if (options.use_flow_sigmas) {
    const sigmas = flowSigmas(options, run, steps, how)
    const timesteps = sigmas.map((sigma) => Math.trunc(sigma * trainSteps))
    return { timesteps, sigmas: [...sigmas, last[how.last](sigmas)].map(Math.fround), flow: true }
  }
  if (run.sigmas) throw new ArgumentError('sigmas of your own need use_flow_sigmas')
  const end = noisiest(table, how.clipLambda ?? -Infinity) + 1
  const timesteps =
    (run.timesteps && wholeTimesteps(run.timesteps, trainSteps)) ??
    {
      linspace: () =>
        numpyLinspace(0, end - 1, steps + 1)
          .map(roundHalfEven)
          .reverse()
          .slice(0, steps),
      leading: () => Array.from({ length: steps }, (_, i) => (steps - i) * Math.floor(end / (steps + 1)) + offset),
      trailing: () => trailingTimesteps(steps, { trainSteps, end }),
    }[options.timestep_spacing]()
  const sigmas = timesteps.map((t) => interpolate(table, t))
  const final = how.last === 'zero' ? 0 : (table[0] as number)
  return { timesteps, sigmas: [...sigmas, final].map(Math.fround), flow: false }
}

function flowSigmas(options: SolverOptions, run: RunOptions, steps: number, how: SolverGridOptions): number[] {
  const { num_train_timesteps: trainSteps, time_shift_type: type } = options
  const dynamic = options.use_dynamic_shifting && !how.static
  if (dynamic && run.mu === undefined)
    throw new ArgumentError('use_dynamic_shifting needs { mu } of the resolution; see dynamicShift')
  const shift = !dynamic ? options.flow_shift : type === 'linear' ? (run.mu as number) : Math.exp(run.mu as number)
  const from = how.flowFromOne
    ? (run.sigmas ?? numpyLinspace(1, 1 / trainSteps, steps + 1).slice(0, steps))
    : numpyLinspace(1, 1 / trainSteps, steps + 1)
        .map((a) => 1 - a)
        .reverse()
        .slice(0, steps)
  const shifted = from.map((sigma) => shiftSigma(sigma, shift))
  const sigmas = how.terminal ? stretchToTerminal(shifted, how.terminal) : shifted
  return sigmas.map((sigma, i) => (how.flowFromOne && i === 0 && Math.abs(sigma - 1) < 1e-6 ? sigma - 1e-6 : sigma))
}

/** The noisiest timestep whose ln(α/σ) is not below a bound. */
export function noisiest(table: Float32Array, bound: number): number {
  return table.length - 1 - table.filter((ratio) => -Math.log(ratio) < bound).length
}
