import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { preconditioning } from '../edm.ts'
import { ve } from '../paths.ts'
import { dynamicThreshold, type Prediction } from '../predictions.ts'
import { dpmSolver } from '../samplers/dpm-solver.ts'
import { churned, euler } from '../samplers/euler.ts'
import { multistep } from '../samplers/exponential.ts'
import { exponentialSigmas, karrasSigmas } from '../sigmas.ts'
import { type RunOptions, spec } from './scheduler.ts'

const shared = {
  sigma_min: 0.002,
  sigma_max: 80,
  sigma_data: 0.5,
  sigma_schedule: 'karras' as 'karras' | 'exponential',
  num_train_timesteps: 1000,
  prediction_type: 'epsilon' as Prediction,
  rho: 7,
  final_sigmas_type: 'zero' as 'zero' | 'sigma_min',
}
type Options = typeof shared
const choices = {
  sigma_schedule: ['karras', 'exponential'],
  final_sigmas_type: ['zero', 'sigma_min'],
  prediction_type: ['epsilon', 'v_prediction'],
}

function levelsOf({ sigma_min: min, sigma_max: max, rho, ...options }: Options, { steps, start }: RunOptions) {
  const range = { min, max, steps: steps as number }
  const sigmas = options.sigma_schedule === 'karras' ? karrasSigmas({ ...range, rho }) : exponentialSigmas(range)
  const last = options.final_sigmas_type === 'zero' ? 0 : (sigmas.at(-1) as number)
  return [...sigmas, last].map(Math.fround).slice(start)
}

/** In EDM's terms a network of 'v_prediction' has the opposite sign. */
function dataOf(
  { prediction_type: prediction, sigma_data: sigmaData }: Options,
  output: NdArray,
  x: NdArray,
  sigma: number,
): NdArray {
  const c = preconditioning(sigma, sigmaData)
  return x.mul(c.skip).add(output.mul(prediction === 'epsilon' ? c.out : -c.out))
}

const noises = (sigmas: readonly number[]) => sigmas.slice(0, -1).map((sigma) => Math.log(sigma) / 4)

export const EDMEulerScheduler = spec({
  defaults: shared,
  choices,
  accepts: ['churn'],
  plan: (options, run) => {
    const sigmas = levelsOf(options, run)
    const raise = run.churn && churned(run.churn, run.steps as number, run.generator)
    // As in EulerDiscreteScheduler, the network sees the state before the noise of churn.
    let [clean, level]: [NdArray | undefined, number] = [undefined, 0]
    return {
      path: ve,
      timesteps: noises(sigmas),
      initialSigma: Math.sqrt(options.sigma_max ** 2 + 1),
      input: () => (clean as NdArray).mul(preconditioning(level, options.sigma_data).in),
      data: (output, x, sigma) => dataOf(options, output, x, sigma),
      sample: (denoise, x) =>
        euler(denoise, x, sigmas, {
          perturb: (state, sigma) => {
            clean = state
            level = sigma
            return raise ? raise(state, sigma) : [state, sigma]
          },
        }),
    }
  },
})

export const EDMDPMSolverMultistepScheduler = spec({
  defaults: {
    ...shared,
    solver_order: 2 as 1 | 2 | 3,
    thresholding: false,
    dynamic_thresholding_ratio: 0.995,
    sample_max_value: 1,
    algorithm_type: 'dpmsolver++' as 'dpmsolver++' | 'sde-dpmsolver++',
    solver_type: 'midpoint' as 'midpoint' | 'heun',
    lower_order_final: true,
    euler_at_final: false,
  },
  // Other solvers' types, as shared configs bring them along, stand for the midpoint.
  choices: {
    ...choices,
    algorithm_type: ['dpmsolver++', 'sde-dpmsolver++'],
    solver_type: ['midpoint', 'heun', 'logrho', 'bh1', 'bh2'],
  },
  plan: (options, run) => {
    const sigmas = levelsOf(options, run)
    if (!(Number.isInteger(options.solver_order) && options.solver_order >= 1))
      throw new ArgumentError(`solver_order is ${options.solver_order}; expected a whole number ≥ 1`)
    const order = Math.min(options.solver_order, 3) as 1 | 2 | 3
    const variant = options.solver_type === 'heun' ? 'heun' : 'midpoint'
    const { dynamic_thresholding_ratio: ratio, sample_max_value: max } = options
    const short = options.lower_order_final && (run.steps as number) < 15
    const solver = dpmSolver(
      { order, variant, stochastic: options.algorithm_type === 'sde-dpmsolver++', likeDiffusers: true },
      (i, steps) => {
        if (i === steps - 1 && (options.euler_at_final || short || options.final_sigmas_type === 'zero')) return 1
        return i === steps - 2 && short ? 2 : 3
      },
    )
    return {
      path: ve,
      timesteps: noises(sigmas),
      initialSigma: Math.sqrt(options.sigma_max ** 2 + 1),
      input: (x, sigma) => x.mul(preconditioning(sigma, options.sigma_data).in),
      data: (output, x, sigma) => {
        const data = dataOf(options, output, x, sigma)
        return options.thresholding ? dynamicThreshold(data, { ratio, max }) : data
      },
      sample: (denoise, x) => multistep(denoise, x, sigmas, solver, { path: ve, generator: run.generator }),
    }
  },
})
