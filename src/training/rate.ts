import { ArgumentError } from '../core/errors.ts'

export const rateSchedules = ['constant', 'linear', 'cosine', 'warmup_stable_decay'] as const
export type RateSchedule = (typeof rateSchedules)[number]

export interface RateOptions {
  readonly learningRate: number
  readonly schedule?: RateSchedule
  /** Steps over which the rate rises from 0. */
  readonly warmup?: number
  readonly steps: number
  /** Steps at the end over which `warmup_stable_decay` falls; a tenth of all unless given. */
  readonly decay?: number
}

/**
 * The learning rate of step 1, 2, …: a linear warm-up, then constant, or falling to 0 at the step after the last: linearly, along half
 * a cosine, or so only at the end (Hu et al. 2024, MiniCPM, section 4). A checkpoint from before that end can be resumed
 * towards a later one. After the warm-up it is that of `diffusers.optimization` and of transformers' `get_wsd_schedule`; the warm-up is one
 * step earlier, as theirs has the rate 0 at its first.
 */
export function learningRate(
  step: number,
  { learningRate: peak, schedule = 'constant', warmup = 0, steps, decay = Math.ceil(steps / 10) }: RateOptions,
): number {
  if (step < 1) throw new ArgumentError(`learning rate: steps count from 1, got ${step}`)
  if (step <= warmup) return (peak * step) / warmup
  if (schedule === 'constant') return peak
  const falling = schedule === 'warmup_stable_decay' ? Math.min(decay, steps - warmup) : steps - warmup
  const left = Math.min(1, Math.max(0, steps - step + 1) / Math.max(1, falling))
  return schedule === 'linear' ? peak * left : peak * 0.5 * (1 - Math.cos(Math.PI * left))
}

/** The EMA's decay at step 1, 2, …: rising as (1 + n)/(10 + n), so that early values fade, to `decay`. */
export const emaDecay = (step: number, decay: number): number => Math.min(decay, step / (9 + step))
