import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { type Denoise, NonFiniteError, type Sampling } from '../denoiser.ts'
import { type Level, levelOf, type Path, vp } from '../paths.ts'
import { checkSteps } from '../spacing.ts'
import type { Choices, Options, SchedulerConfig } from './config.ts'

/** A call of the network as the sampler sees it. */
export interface ModelCall {
  /** The state, not scaled. */
  readonly x: NdArray
  readonly level: Level
  /** Scales anything as the input of this call was. */
  scale(other: NdArray): NdArray
}

/** A raw network: its prediction for an input that the scheduler has scaled, at a timestep as diffusers passes it. */
export type Model = (x: NdArray, t: number, at: ModelCall) => Promise<NdArray> | NdArray

/** What stands in for the state at a call of the network, given the state, its level and the call's number. */
export type Blend = (x: NdArray, level: Level, call: number) => NdArray

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
   * Overrides the state at each call of the network; the sampler goes on from there. At the first call it makes noised data of data
   * (image to image), at later ones it brings back what is known (in-painting).
   */
  readonly blend?: Blend
  /** @deprecated The name that `blend` had. */
  readonly renew?: Blend
  /** DDIM: 0 is deterministic, 1 has DDPM's variance. TCD: the share of fresh noise. */
  readonly eta?: number
  /** DDIM: derive the noise from the clipped data. */
  readonly useClippedModelOutput?: boolean
  /** Euler and EDM: stochasticity (Karras et al. 2022, Algorithm 2). */
  readonly churn?: { readonly amount: number; readonly min?: number; readonly max?: number; readonly noise?: number }
  /** Flow matching with dynamic shift: μ of the resolution. */
  readonly mu?: number
  /** RePaint: the known picture, 1 where it is known, and how far and how often the sampler goes back. */
  readonly known?: { readonly data: NdArray; readonly mask: NdArray; readonly jumpLength?: number; readonly jumpTimes?: number }
  /** Noise levels of one's own, falling; the final 0 may be given or left out. */
  readonly sigmas?: readonly number[]
}

/** Options of a run that only some classes accept. */
export type AcceptedOption = 'timesteps' | 'sigmas' | 'eta' | 'useClippedModelOutput' | 'churn' | 'mu' | 'known'

/** A diffusers scheduler as one object. */
export interface Scheduler {
  readonly className: string
  readonly options: Options
  /** What its config holds that nothing reads, such as notes or options newer than this class: a sentence each. */
  readonly warnings: readonly string[]
  /** Which options of a run it accepts beside steps, seed, generator and start; others are an error. */
  readonly accepts: readonly AcceptedOption[]
  /** @deprecated The name that `accepts` had. */
  readonly takes: readonly AcceptedOption[]
  /** The timesteps at which a run of so many steps calls the network, one a call. */
  timesteps(steps: number | RunOptions): readonly number[]
  /** What unit noise must be multiplied by to be a start of `run`. */
  initialSigma(steps: number | RunOptions): number
  /** Samples from x, which already has the initial noise level. Yields before every step, returns the sample. */
  run(model: Model, x: NdArray, options: RunOptions): Sampling
}

/** What one run does: which timestep the k-th evaluation has, how its output becomes data, and the sampler. */
export interface SamplingPlan {
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
export interface SchedulerSpec<O extends Options = Options> {
  readonly defaults: O
  readonly choices?: Choices
  readonly accepts?: readonly AcceptedOption[]
  readonly plan: (options: O, run: RunOptions & { readonly generator: Generator }) => SamplingPlan
}

/** Ties a class's options and plan, hiding their type. */
export const spec = <O extends Options>(given: SchedulerSpec<O>): SchedulerSpec => given as unknown as SchedulerSpec

/** Options that every class accepts, as its errors list them, and those of pipelines. */
const always = ['steps', 'seed', 'generator', 'start']
const hooks = ['end', 'blend', 'renew']

/** Ends a sampler from within its denoiser. */
class Ended {
  readonly state: NdArray
  constructor(state: NdArray) {
    this.state = state
  }
}

/** Noise levels of the caller's own: above 0, falling; a final 0 is left out, as every class adds the last level itself. */
function ownSigmas(sigmas: readonly number[]): readonly number[] {
  const levels = sigmas.at(-1) === 0 ? sigmas.slice(0, -1) : sigmas
  for (const [i, sigma] of levels.entries()) {
    if (!(sigma > 0 && Number.isFinite(sigma))) throw new ArgumentError(`sigmas[${i}] is ${sigma}; expected a level above 0`)
    const before = levels[i - 1] ?? Infinity
    if (sigma >= before)
      throw new ArgumentError(`sigmas must fall, but sigmas[${i - 1}] is ${before} and sigmas[${i}] is ${sigma}`)
  }
  return levels
}

export function schedulerOf(
  config: SchedulerConfig,
  { options, warnings }: { readonly options: Options; readonly warnings: readonly string[] },
  { plan, accepts = [] }: SchedulerSpec,
): Scheduler {
  const name = config._class_name
  const planned = (run: RunOptions) => {
    for (const [key, value] of Object.entries(run))
      if (value !== undefined && ![...always, ...hooks, ...accepts].includes(key))
        throw new ArgumentError(`${name} does not take ${key}; it takes ${[...always, ...accepts].join(', ')}`)
    const grids = [run.steps, run.timesteps, run.sigmas].filter((given) => given !== undefined)
    if (grids.length > 1) throw new ArgumentError('pass one of steps, timesteps and sigmas, not several')
    if (run.seed !== undefined && run.generator) throw new ArgumentError('pass a seed or a generator, not both')
    const sigmas = run.sigmas && ownSigmas(run.sigmas)
    const steps = run.steps ?? run.timesteps?.length ?? sigmas?.length
    if (steps === undefined) throw new ArgumentError(`${name}: say how many steps, { steps: 50 }`)
    checkSteps(steps)
    const start = run.start ?? 0
    if (!(Number.isInteger(start) && start >= 0 && start < steps))
      throw new ArgumentError(`start: expected a whole number of 0 … ${steps - 1}, got ${start}`)
    return plan(options, { ...run, ...(sigmas && { sigmas }), generator: run.generator ?? new Generator(run.seed ?? 0) })
  }
  return {
    className: name,
    options,
    warnings,
    accepts,
    takes: accepts,
    timesteps: (run) => planned(typeof run === 'number' ? { steps: run } : run).timesteps,
    initialSigma: (run) => planned(typeof run === 'number' ? { steps: run } : run).initialSigma,
    async *run(model, x, run) {
      const { timesteps, input, data, sample, path = vp } = planned(run)
      const { end, blend = run.renew } = run
      let call = 0
      const denoise: Denoise = async (now, sigma) => {
        if (call === end) throw new Ended(now)
        const level = levelOf(path, sigma)
        if (blend) (now.data as Float32Array).set(blend(now, level, call).data as Float32Array)
        const t = timesteps[call++] as number
        const scale = (other: NdArray) => (input ? input(other, sigma) : other)
        const output = await model(scale(now), t, { x: now, level, scale })
        if (!output.allFinite()) throw new NonFiniteError(call - 1, `${name}, t = ${t}`)
        return data(output, now, sigma, t)
      }
      try {
        return yield* sample(denoise, blend ? x.map((value) => value) : x)
      } catch (error) {
        if (error instanceof Ended) return error.state
        throw error
      }
    },
  }
}
