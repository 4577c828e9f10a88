import { ArgumentError } from '../../core/errors.ts'
import {
  extrapolate,
  type Level,
  type Model,
  type RunOptions,
  rescaled,
  roundHalfEven,
  type Scheduler,
} from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import type { Choices } from './choices.ts'
import type { Companion, Row } from './denoiser.ts'
import type { Loaded } from './loaded.ts'
import type { Settings } from './options.ts'

/** A step of sampling, and how far all pictures together are. */
export interface GenerateProgress {
  /** Which picture, from 0, and which of its steps. */
  readonly picture: number
  readonly i: number
  /** Times that the U-Net has run, of so many. */
  readonly done: number
  readonly total: number
  /** The latents that the picture would have if it ended here: [1, C, h, w]; `decode` shows them. */
  readonly latents: NdArray
}

export type Generating = AsyncGenerator<GenerateProgress, NdArray<'f32'>, void>

/** What a task makes of the U-Net: the rows of its batch, and what becomes of their outputs. */
export interface Task {
  readonly rows: readonly Row[]
  /** [R, C, h, w] → the prediction [1, C, h, w]. */
  readonly combine: (output: NdArray<'f32'>) => NdArray
  readonly embedded?: number | undefined
  readonly companions?: readonly Companion[] | undefined
  readonly start?: number | undefined
  /** The network's calls before the run stops. */
  readonly end?: number | undefined
  /** Timesteps of the task's own. */
  readonly timesteps?: readonly number[] | undefined
  /**
   * Draws what a picture starts from, in diffusers' order.
   *
   * @param initialSigma what unit noise is multiplied by to be a start
   */
  begin(generator: Generator, picture: number, initialSigma: number): Promise<Beginning> | Beginning
  /** Called once all pictures have begun. */
  begun?(): Promise<void>
}

/** How one picture starts. */
export interface Beginning {
  /** The state [1, C, h, w] at the start's level; with `renew`, what that makes the state of. */
  readonly x: NdArray<'f32'>
  readonly renew?: ((x: NdArray, level: Level, call: number) => NdArray) | undefined
  /** Channels that the U-Net sees behind the latents: [1, C', h, w], or a row each. */
  readonly beside?: NdArray<'f32'> | undefined
  /** What is made of the latents at the end. */
  readonly finish?: ((latents: NdArray<'f32'>) => NdArray<'f32'>) | undefined
}

/**
 * Samples all pictures of a run, one after another: picture k has the seed `seed + k` and a generator of its own, so that it
 * equals what diffusers gives for it in a list of generators, and memory does not grow with their number.
 */
export async function* sampleLatents(loaded: Loaded, settings: Settings, choices: Choices, task: Task): Generating {
  const { scheduler, steps } = choices
  const { companions = [], start, end, timesteps } = task
  const plan = runOptions(scheduler, { ...(timesteps ? { timesteps } : { steps }), start, end, eta: settings.eta })
  const calls = Math.min(scheduler.timesteps(plan).length, end ?? Infinity)
  const begun: { generator: Generator; beginning: Beginning }[] = []
  for (let picture = 0; picture < settings.num; picture++) {
    settings.signal?.throwIfAborted()
    const generator = new Generator(settings.seed + picture)
    begun.push({ generator, beginning: await task.begin(generator, picture, scheduler.initialSigma(plan)) })
  }
  await task.begun?.()
  if (loaded.unet.needsCalibration(companions)) {
    const few = runOptions(scheduler, { ...fewSteps(task, steps), eta: settings.eta })
    const { sampler } = samplePicture(loaded, settings, choices, task, few, begun[0]?.beginning as Beginning, new Generator(0))
    await loaded.unet.calibrate(async () => {
      for await (const _ of sampler) settings.signal?.throwIfAborted()
    })
  }
  const latents: NdArray<'f32'>[] = []
  for (const [picture, { generator, beginning }] of begun.entries()) {
    const { sampler, called } = samplePicture(loaded, settings, choices, task, plan, beginning, generator)
    let next = await sampler.next()
    for (; !next.done; next = await sampler.next()) {
      const { i, denoised } = next.value
      yield { picture, i, done: picture * calls + called(), total: calls * settings.num, latents: denoised }
    }
    const end_ = next.value.cast('f32')
    latents.push(beginning.finish ? beginning.finish(end_) : end_)
  }
  await loaded.done(loaded.unet)
  return NdArray.concat(latents)
}

/** One picture's sampler, and how often it has called the network. */
function samplePicture(
  loaded: Loaded,
  settings: Settings,
  { scheduler }: Choices,
  { rows, combine, embedded, companions = [], end }: Task,
  plan: RunOptions,
  { x, renew, beside }: Beginning,
  generator: Generator,
) {
  const calls = Math.min(scheduler.timesteps(plan).length, end ?? Infinity)
  let call = 0
  const model: Model = async (state, t) => {
    settings.signal?.throwIfAborted()
    const seen = rows.map((_, r) => besideOf(state as NdArray<'f32'>, beside, r))
    const output = await loaded.unet.predict(NdArray.concat(seen), t, rows, { embedded, companions, call, calls })
    call++
    return combine(output)
  }
  return { sampler: scheduler.run(model, x, { ...plan, generator, ...(renew && { renew }) }), called: () => call }
}

/** Steps of the float run by which an int8 network is calibrated. */
const CALIBRATION_STEPS = 4

/** A task's steps, a few of them, over the same levels of noise. */
function fewSteps({ start, timesteps }: Task, steps: number): RunOptions {
  if (timesteps) {
    const every = Math.ceil(timesteps.length / CALIBRATION_STEPS)
    return { timesteps: timesteps.filter((_, i) => i % every === 0) }
  }
  const few = Math.min(steps, CALIBRATION_STEPS)
  return { steps: few, ...(start === undefined ? {} : { start: Math.floor((start * few) / steps) }) }
}

/** A row of the batch: the state, and behind it what the row is given beside. */
function besideOf(state: NdArray<'f32'>, beside: NdArray<'f32'> | undefined, row: number): NdArray<'f32'> {
  if (!beside) return state
  const own = beside.shape[0] === 1 ? beside : beside.slice(0, row, row + 1)
  return NdArray.concat([state, own], 1)
}

/** What a run needs of a scheduler; DDIM's and TCD's share of renewed noise is 0 in diffusers' pipelines unless it is given. */
function runOptions(scheduler: Scheduler, { eta, ...given }: RunOptions): RunOptions {
  const known = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return { ...known, ...(/^(DDIM|DDIMParallel|TCD)Scheduler$/.test(scheduler.className) ? { eta: eta ?? 0 } : {}) }
}

/** Guided prediction of the batch [unguided, guided]: Ho and Salimans 2022; `rescale` as Lin et al. 2024. */
export const guidedBy = (scale: number, rescale: number) => (output: NdArray<'f32'>) => {
  if (output.shape[0] === 1) return output
  const [negative, positive] = [output.slice(0, 0, 1), output.slice(0, 1, 2)]
  return rescaled(extrapolate(positive, negative, scale), positive, rescale)
}

/** Steps left out at the start of a run on a given picture, as diffusers' `get_timesteps` counts them. */
export function startOf({ steps, strength }: { steps: number; strength: number }): number {
  const kept = Math.min(Math.trunc(steps * strength), steps)
  if (kept < 1) throw new ArgumentError(`strength: ${strength} of ${steps} steps leaves no step: give more of either`)
  return Math.max(steps - kept, 0)
}

/** The start of a run from data: at the first call, the data with noise of its level; at later ones the state as it is. */
export const noised =
  (data: NdArray, noise: NdArray) =>
  (x: NdArray, { alpha, sigma }: Level, call: number): NdArray =>
    call === 0 ? data.mul(alpha).add(noise.mul(sigma)) : x

/** The timestep at a share of the way from noise to picture: where XL's base hands over to its refiner. */
const handover = ({ options }: Scheduler, share: number): number => {
  const all = options.num_train_timesteps as number
  return roundHalfEven(all - share * all)
}

/** Calls of the network before a share of the way. */
export function callsUntil(scheduler: Scheduler, steps: number, share: number | undefined, start = 0): number | undefined {
  if (share === undefined || share <= 0 || share >= 1) return undefined
  const cut = handover(scheduler, share)
  return scheduler.timesteps({ steps, start }).filter((t) => t >= cut).length
}

/** Steps left out before a share of the way. A step of two calls is never cut within. */
export function stepsBefore(scheduler: Scheduler, steps: number, share: number): number {
  const cut = handover(scheduler, share)
  const calls = scheduler.timesteps(steps)
  const left = calls.filter((t) => t < cut).length
  const order = calls.length === 2 * steps - 1 && steps > 1 ? 2 : 1
  return (calls.length - (order === 2 && left % 2 === 0 ? left + 1 : left)) / order
}

/** Latent consistency with a strength: all steps, on the part of the network's own timesteps that the strength leaves. */
export function distilledTimesteps({ scheduler, steps, strength }: Choices): number[] {
  const { num_train_timesteps: all, original_inference_steps: original } = scheduler.options as Readonly<Record<string, number>>
  const hop = Math.floor((all as number) / (original as number))
  const count = Math.trunc((original as number) * strength)
  if (steps > count) throw new ArgumentError(`steps: ${steps} are more than the ${count} that strength ${strength} leaves`)
  return Array.from({ length: steps }, (_, i) => (count - Math.floor((i * count) / steps)) * hop - 1)
}
