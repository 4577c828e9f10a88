import type { Level, Model, ModelCall, RunOptions, Scheduler } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import type { Progress, Result } from '../page.ts'
import type { BatchEntry, Conditioner, Denoiser, DenoiserRun } from '../parts/denoiser.ts'
import type { Combine } from './guidance.ts'
import { fewSteps } from './schedule.ts'

/** How one picture starts. */
export interface Prepared {
  /** The state [1, C, …] at the start's level; with `blend`, what that makes the state of. */
  readonly x: NdArray<'f32'>
  /** What stands in for the state at each call of the network, given the state and its level. */
  readonly blend?: ((x: NdArray, level: Level, call: number) => NdArray) | undefined
  /** Channels that the network sees behind the state's: [1, C', …], or one for each entry of the batch. */
  readonly channels?: NdArray<'f32'> | undefined
  /** The scheduler scales these channels as it does the state, as in diffusers' pipelines of DeepFloyd IF. */
  readonly scaled?: boolean
  /** What is made of the latents at the end. */
  readonly postprocess?: ((latents: NdArray<'f32'>) => NdArray<'f32'>) | undefined
}

/** A run of a denoiser from noise to latents: what `sampleLatents` takes. */
export interface LatentRun {
  readonly denoiser: Denoiser
  readonly scheduler: Scheduler
  /** How many steps, or which; where they start and end; μ of a shifted flow; η. */
  readonly schedule: RunOptions
  readonly seed: number
  /** How many pictures. */
  readonly num: number
  /** What each picture draws from, where an earlier stage has drawn before; by default made of the seed. */
  readonly generators?: readonly Generator[] | undefined
  readonly signal?: AbortSignal | undefined
  /** One for each condition: the negative first where there is guidance. */
  readonly entries: readonly BatchEntry[]
  /** The entries at a call of the network, where they change on the way or from picture to picture; of the shapes that `entries` have. */
  readonly entriesAt?: ((call: number, picture: number) => readonly BatchEntry[]) | undefined
  /** The timestep that the network is told, where it is not the scheduler's. */
  readonly timestepAt?: ((t: number, at: ModelCall) => number) | undefined
  readonly combine: Combine
  readonly conditioners?: readonly Conditioner[] | undefined
  /**
   * Draws what a picture starts from, in diffusers' order.
   *
   * @param initialSigma what unit noise is multiplied by to be a start
   */
  prepare(generator: Generator, picture: number, initialSigma: number): Promise<Prepared> | Prepared
  /** Called once all pictures are prepared: what prepared them has done its work. */
  onPrepared?(): Promise<void>
  /** A state of the run as what the page makes. */
  preview(latents: NdArray<'f32'>): Promise<Result>
  /** The same at little cost. */
  sketch?(latents: NdArray<'f32'>): Promise<Result>
}

/**
 * Samples all pictures of a run, one after another: picture k has the seed `seed + k` and a generator of its own, so that it
 * equals what diffusers gives for it in a list of generators, and memory does not grow with their number.
 *
 * @returns the latents [num, C, …]
 */
export async function* sampleLatents(run: LatentRun): AsyncGenerator<Progress, NdArray<'f32'>, void> {
  const { denoiser, scheduler, schedule, seed, num, signal, conditioners = [] } = run
  const calls = callsOf(scheduler, schedule)
  const prepared: { generator: Generator; start: Prepared }[] = []
  for (let picture = 0; picture < num; picture++) {
    signal?.throwIfAborted()
    const generator = run.generators?.[picture] ?? new Generator(seed + picture)
    prepared.push({ generator, start: await run.prepare(generator, picture, scheduler.initialSigma(schedule)) })
  }
  await run.onPrepared?.()
  if (denoiser.needsCalibration(conditioners)) {
    await denoiser.calibrate(conditioners, async (calls) => {
      const few = fewSteps(schedule)
      const first = { ...(prepared[0] as (typeof prepared)[number]), generator: new Generator(0), picture: 0 }
      const { sampling } = samplePicture({ ...run, schedule: few }, calls, first)
      for await (const _ of sampling) signal?.throwIfAborted()
    })
  }
  const latents: NdArray<'f32'>[] = []
  for (const [picture, { generator, start }] of prepared.entries()) {
    const { sampling, called } = samplePicture(run, denoiser.begin(conditioners), { generator, start, picture })
    let next = await sampling.next()
    for (; !next.done; next = await sampling.next()) {
      const { i, denoised } = next.value
      const preview = () => run.preview(denoised.cast('f32'))
      const sketch = run.sketch && (() => (run.sketch as typeof run.preview)(denoised.cast('f32')))
      const done = picture * calls + called()
      yield { picture, i, done, total: calls * num, latents: denoised, preview, ...(sketch && { sketch }) }
    }
    const end = next.value.cast('f32')
    latents.push(start.postprocess ? start.postprocess(end) : end)
  }
  return NdArray.concat(latents)
}

/** A generator for each picture of a run, of the seeds seed, seed + 1, …: for runs of several stages, which draw from them in turn. */
export const generatorsOf = (seed: number, num: number): Generator[] =>
  Array.from({ length: num }, (_, picture) => new Generator(seed + picture))

/** A stage's steps, told as the stage's, and its result. */
export async function* ofStage<T>(stage: number, steps: AsyncGenerator<Progress, T, void>): AsyncGenerator<Progress, T, void> {
  try {
    for (let next = await steps.next(); ; next = await steps.next()) {
      if (next.done) return next.value
      yield { ...next.value, stage }
    }
  } finally {
    await steps.return(undefined as T)
  }
}

const callsOf = (scheduler: Scheduler, schedule: RunOptions) =>
  Math.min(scheduler.timesteps(schedule).length, schedule.end ?? Infinity)

/** One picture's sampling, and how often it has called the network. */
function samplePicture(
  { scheduler, schedule, entries: first, entriesAt = () => first, timestepAt = (t) => t, combine, signal }: LatentRun,
  calls: DenoiserRun,
  {
    start: { x, blend, channels, scaled },
    generator,
    picture,
  }: { readonly start: Prepared; readonly generator: Generator; readonly picture: number },
) {
  const total = callsOf(scheduler, schedule)
  let call = 0
  const model: Model = async (state, t, at) => {
    signal?.throwIfAborted()
    const entries = entriesAt(call, picture)
    const behind = channels && scaled ? (at.scale(channels) as NdArray<'f32'>) : channels
    const seen = entries.map((_, entry) => withChannels(state as NdArray<'f32'>, behind, entry))
    const time = timestepAt(t, at)
    const output = await calls.predict(NdArray.concat(seen), time, entries, { call, calls: total })
    call++
    return combine(output, t, at)
  }
  const sampling = scheduler.run(model, x, { ...schedule, generator, ...(blend && { renew: blend }) })
  return { sampling, called: () => call }
}

/** An entry of the batch: the state, and behind it the channels that this entry is given. */
function withChannels(state: NdArray<'f32'>, channels: NdArray<'f32'> | undefined, entry: number): NdArray<'f32'> {
  if (!channels) return state
  const own = channels.shape[0] === 1 ? channels : channels.slice(0, entry, entry + 1)
  return NdArray.concat([state, own], 1)
}

/** The start of a run from data: at the first call, the data with noise of its level; at later ones the state as it is. */
export const noised =
  (data: NdArray, noise: NdArray) =>
  (x: NdArray, { alpha, sigma }: Level, call: number): NdArray =>
    call === 0 ? data.mul(alpha).add(noise.mul(sigma)) : x
