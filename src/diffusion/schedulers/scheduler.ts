import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { alphasCumprod, type BetaSchedule, betaSchedule, rescaleZeroTerminalSnr } from '../betas.ts'
import { type Denoise, type Level, levelOf, NonFiniteError, type Path, type Sampling, vp } from '../denoiser.ts'
import { dynamicThreshold } from '../predictions.ts'
import { checkSteps } from '../spacing.ts'
import type { Choices, Options, SchedulerConfig } from './config.ts'

/** A raw network: its prediction for an input that the scheduler has scaled, at a timestep as diffusers passes it. */
export type Model = (x: NdArray, t: number) => Promise<NdArray> | NdArray

export interface RunOptions {
  /** How many sampling steps; or `timesteps` of one's own, falling. */
  readonly steps?: number
  readonly timesteps?: readonly number[]
  /** Seeds the noise of stochastic samplers as `torch.Generator().manual_seed(seed)` does; or the generator itself. */
  readonly seed?: number | bigint
  readonly generator?: Generator
  /** Leaves out the first `start` steps: image to image with strength 1 − start/steps. */
  readonly start?: number
  /** Stops before the network's call of this number and returns the state as it is there: a run in two parts. */
  readonly end?: number
  /**
   * What stands in for the state at each call of the network, given the state and its level; the sampler goes on from there. At the
   * first call it makes noised data of data (image to image), at later ones it brings back what is known (in-painting).
   */
  readonly renew?: (x: NdArray, level: Level, call: number) => NdArray
  /** DDIM: 0 is deterministic, 1 has DDPM's variance. TCD: the share of noise renewed. */
  readonly eta?: number
  /** DDIM: derive the noise from the clipped data. */
  readonly useClippedModelOutput?: boolean
  /** Euler and EDM: stochasticity (Karras et al. 2022, Algorithm 2). */
  readonly churn?: { readonly amount: number; readonly min?: number; readonly max?: number; readonly noise?: number }
  /** Flow matching with dynamic shift: μ of the resolution. */
  readonly mu?: number
  /** RePaint: the known picture, 1 where it is known, and how far and how often the sampler goes back. */
  readonly known?: { readonly data: NdArray; readonly mask: NdArray; readonly jumpLength?: number; readonly jumpTimes?: number }
  /** Noise levels of one's own, falling, without the final 0. */
  readonly sigmas?: readonly number[]
}

/** Options of a run that only some classes take. */
export type Taken = 'timesteps' | 'sigmas' | 'eta' | 'useClippedModelOutput' | 'churn' | 'mu' | 'known'

/** A diffusers scheduler as one object. */
export interface Scheduler {
  readonly className: string
  readonly options: Options
  /** Which options of a run it takes beside steps, seed, generator and start; others are an error. */
  readonly takes: readonly Taken[]
  /** The timesteps at which a run of so many steps calls the network, one a call. */
  timesteps(steps: number | RunOptions): readonly number[]
  /** What unit noise must be multiplied by to be a start of `run`. */
  initialSigma(steps: number | RunOptions): number
  /** Samples from x, which already has the initial noise level. Yields before every step, returns the sample. */
  run(model: Model, x: NdArray, options: RunOptions): Sampling
}

/** What one run does: which timestep the k-th evaluation has, how its output becomes data, and the sampler. */
export interface Plan {
  /** The form of its states. Default: variance preserving. */
  readonly path?: Path
  readonly timesteps: readonly number[]
  readonly initialSigma: number
  /** The network's input. Default: x itself. */
  readonly input?: (x: NdArray, sigma: number) => NdArray
  readonly data: (output: NdArray, x: NdArray, sigma: number, t: number) => NdArray
  readonly sample: (denoise: Denoise, x: NdArray) => Sampling
}

/** A class of schedulers: its options with defaults, and how a run is planned. */
export interface Kind<O extends Options = Options> {
  readonly defaults: O
  readonly choices?: Choices
  readonly takes?: readonly Taken[]
  readonly plan: (options: O, run: RunOptions & { readonly generator: Generator }) => Plan
}

/** Ties a class's options and plan, hiding their type. */
export const kind = <O extends Options>(spec: Kind<O>): Kind => spec as unknown as Kind

/** Options that every class takes, as its errors list them, and those of pipelines. */
const always = ['steps', 'seed', 'generator', 'start']
const hooks = ['end', 'renew']

/** Ends a sampler from within its denoiser. */
class Ended {
  readonly state: NdArray
  constructor(state: NdArray) {
    this.state = state
  }
}

export function schedulerOf(config: SchedulerConfig, options: Options, { plan, takes = [] }: Kind): Scheduler {
  const planned = (run: RunOptions) => {
    for (const [key, value] of Object.entries(run))
      if (value !== undefined && ![...always, ...hooks, ...takes].includes(key))
        throw new ArgumentError(`${config._class_name} does not take ${key}; it takes ${[...always, ...takes].join(', ')}`)
    const grids = [run.steps, run.timesteps, run.sigmas].filter((given) => given !== undefined)
    if (grids.length > 1) throw new ArgumentError('pass one of steps, timesteps and sigmas, not several')
    if (run.seed !== undefined && run.generator) throw new ArgumentError('pass a seed or a generator, not both')
    const steps = run.steps ?? run.timesteps?.length ?? run.sigmas?.length
    if (steps === undefined) throw new ArgumentError(`${config._class_name}: say how many steps, { steps: 50 }`)
    checkSteps(steps)
    const start = run.start ?? 0
    if (!(Number.isInteger(start) && start >= 0 && start < steps))
      throw new ArgumentError(`start: expected a whole number of 0 … ${steps - 1}, got ${start}`)
    return plan(options, { ...run, generator: run.generator ?? new Generator(run.seed ?? 0) })
  }
  return {
    className: config._class_name,
    options,
    takes,
    timesteps: (run) => planned(typeof run === 'number' ? { steps: run } : run).timesteps,
    initialSigma: (run) => planned(typeof run === 'number' ? { steps: run } : run).initialSigma,
    async *run(model, x, run) {
      const { timesteps, input, data, sample, path = vp } = planned(run)
      const { end, renew } = run
      let call = 0
      const denoise: Denoise = async (now, sigma) => {
        if (call === end) throw new Ended(now)
        if (renew) (now.data as Float32Array).set(renew(now, levelOf(path, sigma), call).data as Float32Array)
        const t = timesteps[call++] as number
        const output = await model(input ? input(now, sigma) : now, t)
        if (!output.allFinite()) throw new NonFiniteError(call - 1, `${config._class_name}, t = ${t}`)
        return data(output, now, sigma, t)
      }
      try {
        return yield* sample(denoise, renew ? x.map((value) => value) : x)
      } catch (error) {
        if (error instanceof Ended) return error.state
        throw error
      }
    },
  }
}

/** The options that define a table of betas. */
export const betaOptions = {
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: 'linear' as BetaSchedule,
  trained_betas: null as readonly number[] | null,
}

/** ᾱ of a config. */
export function alphaTable(options: typeof betaOptions, zeroSnr = false): Float32Array {
  const { num_train_timesteps: steps, beta_start: start, beta_end: end, trained_betas: trained } = options
  const betas = trained ? Float32Array.from(trained) : betaSchedule(options.beta_schedule, { steps, start, end })
  return alphasCumprod(zeroSnr ? rescaleZeroTerminalSnr(betas) : betas)
}

/** σ = √(1 − ᾱ) of a timestep on the variance-preserving path; beyond the table, the last value. */
export const vpSigma = (bars: Float32Array, t: number): number => Math.sqrt(1 - (bars[Math.min(t, bars.length - 1)] as number))

/** The options that bound the predicted data. */
export const clipOptions = {
  clip_sample: true,
  clip_sample_range: 1,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1,
}

/** Thresholding goes before clipping, as in diffusers. */
export function clipper(options: typeof clipOptions): (data: NdArray) => NdArray {
  const { clip_sample_range: range, dynamic_thresholding_ratio: ratio, sample_max_value: max } = options
  if (options.thresholding) return (data) => dynamicThreshold(data, { ratio, max })
  return options.clip_sample ? (data) => data.clamp(-range, range) : (data) => data
}

/** [B, 2C, …] → the prediction and the variance, [B, C, …] each. */
export function halves(output: NdArray): [NdArray, NdArray] {
  const half = (output.shape[1] as number) / 2
  return [output.slice(1, 0, half), output.slice(1, half)]
}
