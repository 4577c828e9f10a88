import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { BatchEntry, Conditioner } from '../parts/denoiser.ts'
import type { Combine } from '../sampling/guidance.ts'
import { guidedBy } from '../sampling/guidance.ts'
import { type LatentRun, sampleLatents } from '../sampling/run.ts'
import { callsUntil, scheduleOf } from '../sampling/schedule.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'
import type { SamplingPlan } from './plan.ts'

/** What a task of Stable Diffusion makes of the U-Net. */
export interface TaskRun extends Pick<LatentRun, 'prepare' | 'onPrepared'> {
  readonly entries: readonly BatchEntry[]
  /** By default guidance by the text. */
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
  { unet, latents: coder }: StableDiffusionModel,
  settings: Settings,
  { scheduler, steps, guidance }: SamplingPlan,
  { start, timesteps, ...task }: TaskRun,
): SamplingLatents {
  const { eta, rescale, denoisingEnd, seed, num, signal } = settings
  return sampleLatents({
    denoiser: unet,
    scheduler,
    schedule: scheduleOf(scheduler, {
      ...(timesteps ? { timesteps } : { steps }),
      ...(start !== undefined && { start }),
      ...endOf(callsUntil(scheduler, steps, denoisingEnd, start)),
      eta,
    }),
    combine: guidedBy(guidance, rescale),
    preview: async (z) => ({ type: 'pictures', pictures: await coder.decode(z) }),
    ...{ seed, num, signal },
    ...task,
  })
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
