import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { flow, levelOf, sigmaFromRatio, vp } from '../paths.ts'
import { dynamicThreshold, toData } from '../predictions.ts'
import { type MultistepSolver, multistep, repeatedLevel } from '../samplers/exponential.ts'
import type { SolverGrid, solverOptions } from './grids.ts'
import type { RunOptions, SamplingPlan } from './scheduler.ts'
import { halves } from './tables.ts'

// The exponential integrators: states have the `vp` (or `flow`) form, levels come as σ/α (or σ of the flow).

type Options = typeof solverOptions

/** Whether half of the output are variances: a DDPM's config names its fixed ones here too. */
export const isLearned = (variance: string | null) => variance === 'learned' || variance === 'learned_range'

/** Everything of a plan but the sampler; `split` drops the variance half of the output. */
export function planOf(
  options: Options,
  grid: SolverGrid,
  run: RunOptions,
  split: boolean,
  sample: (p: Parts) => SamplingPlan['sample'],
): SamplingPlan {
  const path = grid.flow ? flow : vp
  const start = run.start ?? 0
  const timesteps = grid.timesteps.slice(start)
  const ratios = grid.sigmas.slice(start)
  const sigmas = ratios.map((sigma) => (grid.flow ? sigma : sigmaFromRatio(path, sigma)))
  // diffusers multiplies a predicted flow by the grid's level, even where that is σ/α of another path.
  const ratioOf = options.prediction_type === 'flow_prediction' && !grid.flow && new Map(sigmas.map((s, i) => [s, ratios[i]]))
  const { dynamic_thresholding_ratio: ratio, sample_max_value: max } = options
  return {
    path,
    timesteps,
    initialSigma: 1,
    data: (output, x, sigma) => {
      const [mean] = split ? halves(output) : [output]
      const data = ratioOf
        ? x.sub(mean.mul(ratioOf.get(sigma) as number))
        : toData(options.prediction_type, mean, x, levelOf(path, sigma))
      return options.thresholding ? dynamicThreshold(data, { ratio, max }) : data
    },
    sample: sample({ path, sigmas, timesteps, steps: grid.timesteps.length }),
  }
}
export interface Parts {
  readonly path: typeof vp
  readonly sigmas: readonly number[]
  readonly timesteps: readonly number[]
  /** Of the whole run, before `start`. */
  readonly steps: number
}

/** The sampler of a plan by a multistep solver. */
export const many =
  (solver: (p: Parts) => MultistepSolver, run: RunOptions) =>
  (p: Parts): SamplingPlan['sample'] =>
  (denoise, x: NdArray) => {
    const way = solver(p)
    const twice = repeatedLevel(p.sigmas, way)
    if (twice !== undefined)
      throw new ArgumentError(
        `${p.steps} steps come to timestep ${p.timesteps[twice]} twice, at one noise level, where diffusers' multistep solvers give NaN; ask for fewer steps, or spread the levels with use_karras_sigmas`,
      )
    return multistep(denoise, x, p.sigmas, way, { path: p.path, generator: run.generator })
  }

/** Throws unless an order is an integer of at least 1. Above their highest order diffusers' integrators use that one. */
export function checkOrder(option: string, order: number): void {
  if (!(Number.isInteger(order) && order >= 1)) throw new ArgumentError(`${option} is ${order}; expected a whole number ≥ 1`)
}
