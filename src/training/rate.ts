import { ArgumentError } from '../core/errors.ts'

export const rateSchedules = ['constant', 'linear', 'cosine'] as const
export type RateSchedule = (typeof rateSchedules)[number]

export interface RateOptions {
  readonly learningRate: number
  readonly schedule?: RateSchedule
  /** Steps over which the rate rises from 0. */
  readonly warmup?: number
  readonly steps: number
}

/** The learning rate of step 1, 2, …: a linear warm-up, then constant, or falling to 0 at the last step. */
export function learningRate(
  step: number,
  { learningRate: peak, schedule = 'constant', warmup = 0, steps }: RateOptions,
): number {
  if (step < 1) throw new ArgumentError(`learning rate: steps count from 1, got ${step}`)
  if (step <= warmup) return (peak * step) / warmup
  const left = (steps - step) / Math.max(1, steps - warmup)
  if (schedule === 'linear') return peak * Math.max(0, left)
  if (schedule === 'cosine') return peak * 0.5 * (1 + Math.cos(Math.PI * (1 - Math.max(0, left))))
  return peak
}

/** The EMA's decay at step 1, 2, …: rising as (1 + n)/(10 + n), so that early values fade, to `decay`. */
export const emaDecay = (step: number, decay: number): number => Math.min(decay, step / (9 + step))
