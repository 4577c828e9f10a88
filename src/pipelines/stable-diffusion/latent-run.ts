import { ArgumentError } from '../../core/errors.ts'
import { adaptivePerturbedScale } from '../../diffusion/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { composedIn } from '../conditioning/regions.ts'
import type { BatchEntry, Conditioner } from '../parts/denoiser.ts'
import { sketched } from '../parts/sketch.ts'
import type { Combine } from '../sampling/guidance.ts'
import { composedBy, guidedBy, perturbedBy } from '../sampling/guidance.ts'
import { type LatentRun, sampleLatents } from '../sampling/run.ts'
import { callsUntil, scheduleOf } from '../sampling/schedule.ts'
import { type Conditions, entriesAt, type Span, withEntries } from './conditions.ts'
import { featureConditioners } from './feature-guidance.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'
import type { SamplingPlan } from './plan.ts'

/** What a task of Stable Diffusion makes of the U-Net. */
export interface TaskRun extends Pick<LatentRun, 'prepare' | 'onPrepared'> {
  readonly conditions: Conditions
  /** By default guidance by the text, or by several that AND joins; with perturbed attention, by that too. */
  readonly combine?: Combine | undefined
  readonly conditioners?: readonly Conditioner[] | undefined
  /** Steps left out at the start. */
  readonly start?: number | undefined
  /** Timesteps of the task's own. */
  readonly timesteps?: readonly number[] | undefined
}

export type SamplingLatents = ReturnType<typeof sampleLatents>

/** Samples a task's latents by the settings that every task has. */
export function sampleTask(
  model: StableDiffusionModel,
  settings: Settings,
  { scheduler, grid, guidance }: SamplingPlan,
  { start, timesteps, conditions, conditioners = [], combine, ...task }: TaskRun,
): SamplingLatents {
  const { unet, latents: coder } = model
  const { eta, rescale, denoisingEnd, seed, num, signal } = settings
  const perturbing = settings.pagScale > 0
  const { weights, composition } = conditions
  const own = perturbing ? withEntries(conditions, (entries) => [...entries, entries.at(-1) as BatchEntry]) : conditions
  const guidedWith = () => {
    if (composition) {
      const guided = conditions.moments[0]?.entries.length === (composition.shape[1] as number) + 1
      return composedIn(guidance, composition, { guided, rescale })
    }
    if (weights.length > 1) return composedBy(guidance, weights, rescale)
    if (!perturbing) return guidedBy(guidance, rescale)
    return perturbedBy(guidance, adaptivePerturbedScale(settings.pagScale, settings.pagAdaptive), rescale)
  }
  return sampleLatents({
    denoiser: unet,
    scheduler,
    schedule: scheduleOf(scheduler, {
      ...(timesteps ? { timesteps } : grid),
      ...(start !== undefined && { start }),
      ...endOf(callsUntil(scheduler, grid, denoisingEnd, start)),
      eta,
    }),
    entries: entriesAt(own, 0),
    ...(own.moments.length > 1 && { entriesAt: (call: number) => entriesAt(own, call) }),
    combine: combine ?? guidedWith(),
    conditioners: [...conditioners, ...featureConditioners(model, settings)],
    preview: async (z) => ({ type: 'pictures', pictures: await coder.decode(z) }),
    sketch: async (z) => ({ type: 'pictures', pictures: await sketched(z, coder) }),
    ...{ seed, num, signal },
    ...task,
  })
}

/** The calls over which a run's prompts change: its own, or, of a part of a way, those of the whole. */
export function spanOf(
  { denoisingStart }: Settings,
  { scheduler, grid }: SamplingPlan,
  { start = 0, timesteps }: Pick<TaskRun, 'start' | 'timesteps'> = {},
): Span {
  const all = timesteps ? { timesteps } : grid
  const calls = scheduler.timesteps({ ...all, start }).length
  if (denoisingStart === undefined || start === 0) return { calls, offset: 0 }
  const whole = scheduler.timesteps(all).length
  return { calls: whole, offset: whole - calls }
}

const endOf = (end: number | undefined) => (end === undefined ? {} : { end })

/** The given latents of one picture of so many; where there is one for all, that. @throws ArgumentError for another number */
export function latentsOf(given: NdArray, picture: number, num: number): NdArray<'f32'> {
  const count = given.shape[0] as number
  if (given.shape.length !== 4 || (count !== 1 && count !== num)) {
    const shape = given.shape.join(', ')
    throw new ArgumentError(`latents: expected [1 or ${num}, C, h, w] for ${num} pictures, got [${shape}]`)
  }
  const all = given.cast('f32')
  return count === 1 ? all : all.slice(0, picture, picture + 1)
}
