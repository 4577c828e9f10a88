import { ArgumentError } from '../../core/errors.ts'
import { type RunOptions, roundHalfEven, type Scheduler } from '../../diffusion/index.ts'

/** How many steps a run has, or which: timesteps or noise levels of its own. */
export type Grid = Pick<RunOptions, 'steps' | 'timesteps' | 'sigmas'>

/** What a run needs of a scheduler; DDIM's and TCD's share of renewed noise is 0 in diffusers' pipelines unless it is given. */
export function scheduleOf(scheduler: Scheduler, { eta, ...given }: RunOptions): RunOptions {
  const known = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return { ...known, ...(/^(DDIM|DDIMParallel|TCD)Scheduler$/.test(scheduler.className) ? { eta: eta ?? 0 } : {}) }
}

/** Steps of the float run by which an int8 network is calibrated. */
const CALIBRATION_STEPS = 4

/** A run's steps, a few of them, over the same levels of noise. */
export function fewSteps({ steps = 0, start, timesteps, sigmas, end: _, ...rest }: RunOptions): RunOptions {
  const own = timesteps ?? sigmas
  if (own) {
    const every = Math.ceil(own.length / CALIBRATION_STEPS)
    const few = own.filter((_, i) => i % every === 0)
    return { ...rest, ...(timesteps ? { timesteps: few } : { sigmas: few }) }
  }
  const few = Math.min(steps, CALIBRATION_STEPS)
  return { ...rest, steps: few, ...(start === undefined ? {} : { start: Math.floor((start * few) / steps) }) }
}

/** Steps left out at the start of a run on a given picture, as diffusers' `get_timesteps` counts them. */
export function startOf({ steps, strength }: { steps: number; strength: number }): number {
  const kept = Math.min(Math.trunc(steps * strength), steps)
  if (kept < 1) throw new ArgumentError(`strength: ${strength} of ${steps} steps leaves no step: give more of either`)
  return Math.max(steps - kept, 0)
}

/** The timestep at a share of the way from noise to picture: where XL's base hands over to its refiner. */
const handover = ({ options }: Scheduler, share: number): number => {
  const all = options.num_train_timesteps as number
  return roundHalfEven(all - share * all)
}

/** Calls of the network before a share of the way. */
export function callsUntil(scheduler: Scheduler, grid: Grid, share: number | undefined, start = 0): number | undefined {
  if (share === undefined || share <= 0 || share >= 1) return undefined
  const cut = handover(scheduler, share)
  return scheduler.timesteps({ ...grid, start }).filter((t) => t >= cut).length
}

/** Steps left out before a share of the way. A step of two calls is never cut within. */
export function stepsBefore(scheduler: Scheduler, grid: Grid, share: number): number {
  const cut = handover(scheduler, share)
  const calls = scheduler.timesteps(grid)
  const steps = grid.steps ?? (grid.timesteps ?? grid.sigmas ?? []).length
  const left = calls.filter((t) => t < cut).length
  const order = calls.length === 2 * steps - 1 && steps > 1 ? 2 : 1
  return (calls.length - (order === 2 && left % 2 === 0 ? left + 1 : left)) / order
}

/** Latent consistency with a strength: all steps, on the part of the network's own timesteps that the strength leaves. */
export function distilledTimesteps(scheduler: Scheduler, { steps, strength }: { steps: number; strength: number }): number[] {
  const { num_train_timesteps: all, original_inference_steps: original } = scheduler.options as Readonly<Record<string, number>>
  const hop = Math.floor((all as number) / (original as number))
  const count = Math.trunc((original as number) * strength)
  if (steps > count) throw new ArgumentError(`steps: ${steps} are more than the ${count} that strength ${strength} leaves`)
  return Array.from({ length: steps }, (_, i) => (count - Math.floor((i * count) / steps)) * hop - 1)
}
