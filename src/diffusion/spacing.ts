import { ArgumentError } from '../core/errors.ts'

/** How a few timesteps are chosen among T (Lin et al. 2024, table 2). */
export type Spacing = 'leading' | 'linspace' | 'trailing'

export interface SpacingOptions {
  /** T, how many steps the network was trained on. */
  readonly trainSteps: number
  /** Added to leading timesteps: 1 makes the first of them T/steps·k + 1. */
  readonly offset?: number
}

/** `steps` whole timesteps of 0 … T − 1, falling. */
export function timestepsBySpacing(spacing: Spacing, steps: number, { trainSteps, offset = 0 }: SpacingOptions): number[] {
  checkSteps(steps, trainSteps)
  switch (spacing) {
    case 'linspace':
      return numpyLinspace(0, trainSteps - 1, steps)
        .map(roundHalfEven)
        .reverse()
    case 'leading':
      return Array.from({ length: steps }, (_, i) => (steps - 1 - i) * Math.floor(trainSteps / steps) + offset)
    case 'trailing':
      return trailingTimesteps(steps, { trainSteps })
  }
}

/**
 * Timesteps counted down from `end` (T, or one above the noisiest timestep) in strides of T/steps, by the arithmetic of NumPy's
 * `arange(end, 0, −T/steps)`. Where rounding gives that one number more than the steps, diffusers makes a step more, at t = −1, which
 * reads its tables from their noisy end; here there are never more timesteps than steps.
 */
export function trailingTimesteps(
  steps: number,
  { trainSteps, end = trainSteps }: { trainSteps: number; end?: number },
): number[] {
  const stride = trainSteps / steps
  const delta = end - stride - end
  const length = Math.min(steps, Math.ceil(end / stride))
  return Array.from({ length }, (_, i) => roundHalfEven(end + i * delta) - 1)
}

/** A number of sampling steps: whole, at least 1, at most T. */
export function checkSteps(steps: number, trainSteps = Infinity): void {
  if (!Number.isInteger(steps) || steps < 1) throw new ArgumentError(`steps: expected a whole number ≥ 1, got ${steps}`)
  if (steps > trainSteps) throw new ArgumentError(`steps: ${steps} is more than the ${trainSteps} the network was trained on`)
}

/** Timesteps of the caller's own: they must fall and lie in 0 … T − 1. */
export function checkTimesteps(timesteps: readonly number[], trainSteps = Infinity): void {
  checkSteps(timesteps.length)
  for (const [i, t] of timesteps.entries()) {
    if (!(t >= 0 && t < trainSteps)) throw new ArgumentError(`timesteps[${i}] is ${t}; expected 0 ≤ t < ${trainSteps}`)
    const before = timesteps[i - 1] ?? Infinity
    if (t >= before)
      throw new ArgumentError(`timesteps must fall, but timesteps[${i - 1}] is ${before} and timesteps[${i}] is ${t}`)
  }
}

/** Timesteps of the caller's own as tables of whole timesteps read them: without their fractions, as diffusers takes them. */
export function wholeTimesteps(timesteps: readonly number[], trainSteps?: number): readonly number[] {
  const whole = timesteps.map(Math.trunc)
  checkTimesteps(whole, trainSteps)
  return whole
}

/** `steps` numbers from start to end, both included; one step gives the start, as NumPy does. */
export function numpyLinspace(start: number, end: number, steps: number): number[] {
  const step = (end - start) / (steps - 1)
  return Array.from({ length: steps }, (_, i) => (i === 0 ? start : i === steps - 1 ? end : i * step + start))
}

/** To the nearest whole number, halves to the even one, as NumPy and Python round. */
export function roundHalfEven(x: number): number {
  const low = Math.floor(x)
  return x - low === 0.5 ? low + (low % 2) : Math.round(x)
}
