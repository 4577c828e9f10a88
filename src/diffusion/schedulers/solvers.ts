import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { flow, levelOf, sigmaFromRatio, vp } from '../denoiser.ts'
import { dynamicThreshold, toData } from '../predictions.ts'
import { type DpmSolver, dpmSinglestep, dpmSolver, exponentialAdams, singlestepOrders } from '../samplers/dpm-solver.ts'
import { type MultistepSolver, multistep, repeatedLevel } from '../samplers/exponential.ts'
import { saSolver, unipc } from '../samplers/unipc.ts'
import { roundHalfEven } from '../spacing.ts'
import { noisiest, ratioTable, type SolverGrid, solverGrid, solverOptions } from './grids.ts'
import { halves, kind, type Plan, type RunOptions } from './scheduler.ts'

// The exponential integrators: states have the `vp` (or `flow`) form, levels come as σ/α (or σ of the flow).

type Options = typeof solverOptions

/** A DDPM's config brings its fixed variances along, which leave the output whole. */
const isLearned = (variance: string | null) => variance === 'learned' || variance === 'learned_range'

/** Everything of a plan but the sampler; `split` drops the variance half of the output. */
function planOf(options: Options, grid: SolverGrid, run: RunOptions, split: boolean, sample: (p: Parts) => Plan['sample']): Plan {
  const path = grid.flow ? flow : vp
  const start = run.start ?? 0
  const timesteps = grid.timesteps.slice(start)
  const sigmas = grid.sigmas.slice(start).map((sigma) => (grid.flow ? sigma : sigmaFromRatio(path, sigma)))
  const { dynamic_thresholding_ratio: ratio, sample_max_value: max } = options
  return {
    path,
    timesteps,
    initialSigma: 1,
    data: (output, x, sigma) => {
      const [mean] = split ? halves(output) : [output]
      const data = toData(options.prediction_type, mean, x, levelOf(path, sigma))
      return options.thresholding ? dynamicThreshold(data, { ratio, max }) : data
    },
    sample: sample({ path, sigmas, timesteps, steps: grid.timesteps.length }),
  }
}
interface Parts {
  readonly path: typeof vp
  readonly sigmas: readonly number[]
  readonly timesteps: readonly number[]
  /** Of the whole run, before `start`. */
  readonly steps: number
}

const many =
  (solver: (p: Parts) => MultistepSolver, run: RunOptions) =>
  (p: Parts): Plan['sample'] =>
  (denoise, x: NdArray) => {
    const way = solver(p)
    const twice = repeatedLevel(p.sigmas, way)
    if (twice !== undefined)
      throw new ArgumentError(
        `${p.steps} steps come to timestep ${p.timesteps[twice]} twice, at one noise level, where diffusers' multistep solvers give NaN; ask for fewer steps, or spread the levels with use_karras_sigmas`,
      )
    return multistep(denoise, x, p.sigmas, way, { path: p.path, generator: run.generator })
  }

type Algorithm = 'dpmsolver' | 'dpmsolver++' | 'sde-dpmsolver' | 'sde-dpmsolver++'

const dpmOptions = {
  ...solverOptions,
  solver_order: 2 as DpmSolver['order'] & number,
  algorithm_type: 'dpmsolver++' as Algorithm,
  solver_type: 'midpoint' as 'midpoint' | 'heun',
  final_sigmas_type: 'zero' as 'zero' | 'sigma_min',
  lambda_min_clipped: -Infinity,
  variance_type: null as string | null,
}
const dpmChoices = {
  algorithm_type: ['dpmsolver', 'dpmsolver++', 'sde-dpmsolver', 'sde-dpmsolver++', 'deis'],
  solver_type: ['midpoint', 'heun', 'logrho', 'bh1', 'bh2'],
  final_sigmas_type: ['zero', 'sigma_min'],
}

function solverOf(options: typeof dpmOptions): DpmSolver {
  const { algorithm_type: algorithm, solver_type: type, solver_order: order, final_sigmas_type: final } = options
  const form = algorithm === 'dpmsolver' || algorithm === 'sde-dpmsolver' ? 'noise' : 'data'
  if (![1, 2, 3].includes(order)) throw new ArgumentError(`solver_order is ${order}; expected 1, 2 or 3`)
  if (form === 'noise' && final === 'zero')
    throw new ArgumentError(`algorithm_type ${algorithm} cannot end at noise level 0; set final_sigmas_type to sigma_min`)
  if (algorithm === 'sde-dpmsolver' && order === 3) throw new ArgumentError('sde-dpmsolver has no third order; use 1 or 2')
  return {
    order,
    form,
    variant: type === 'heun' ? 'heun' : 'midpoint',
    stochastic: algorithm.startsWith('sde'),
    likeDiffusers: true,
  }
}

export const DPMSolverMultistepScheduler = kind({
  defaults: { ...dpmOptions, euler_at_final: false, use_lu_lambdas: false, rescale_betas_zero_snr: false },
  choices: dpmChoices,
  takes: ['timesteps', 'mu'],
  plan: (options, run) => {
    const last = options.final_sigmas_type === 'zero' ? 'zero' : 'first-timestep'
    const grid = solverGrid(options, run, ratioTable(options, options.rescale_betas_zero_snr), {
      last,
      round: options.beta_schedule !== 'squaredcos_cap_v2',
      clipLambda: options.lambda_min_clipped,
      lu: options.use_lu_lambdas,
    })
    return planOf(
      options,
      grid,
      run,
      isLearned(options.variance_type),
      many(({ steps: all }) => lowering(options, all, last === 'zero'), run),
    )
  },
})

/** Encodes data into noise: DPM-Solver with rising levels. `run` starts from data at the first level. */
export const DPMSolverMultistepInverseScheduler = kind({
  defaults: { ...dpmOptions, euler_at_final: false },
  choices: dpmChoices,
  plan: (options, run) => {
    const spread =
      options.use_karras_sigmas || options.use_exponential_sigmas || options.use_beta_sigmas || options.use_flow_sigmas
    if (spread)
      throw new ArgumentError('DPMSolverMultistepInverseScheduler: spread and flow sigmas are not supported; leave them false')
    const table = ratioTable(options)
    const clipLambda = options.lambda_min_clipped
    const down = solverGrid(options, run, table, { last: 'first-timestep', round: true, clipLambda })
    const end = noisiest(table, clipLambda)
    const [hop, offset] = [Math.floor((end + 1) / (down.timesteps.length + 1)), options.steps_offset]
    const up = {
      linspace: () => down.timesteps.map((_, i) => roundHalfEven((i * end) / down.timesteps.length)),
      leading: () => down.timesteps.map((_, i) => i * hop + offset),
      trailing: () => [...down.timesteps].reverse(),
    }[options.timestep_spacing]()
    const sigmas = [...up.map((t) => table[t] as number), table[end] as number]
    return planOf(
      options,
      { timesteps: up, sigmas, flow: false },
      run,
      isLearned(options.variance_type),
      ({ sigmas: levels, path, steps: all }) => {
        const solver = lowering({ ...options, final_sigmas_type: 'sigma_min' }, all, false)
        return (denoise, x) => multistep(denoise, x, levels, solver, { path, generator: run.generator })
      },
    )
  },
})

/** DPM-Solver with diffusers' rules for using fewer evaluations in the last two steps. */
function lowering(options: typeof dpmOptions & { euler_at_final: boolean }, all: number, toZero: boolean): MultistepSolver {
  const short = options.lower_order_final && all < 15
  return dpmSolver(solverOf(options), (i, steps) => {
    if (i === steps - 1 && (options.euler_at_final || short || toZero)) return 1
    return i === steps - 2 && short ? 2 : 3
  })
}

export const DPMSolverSinglestepScheduler = kind({
  defaults: { ...dpmOptions, lower_order_final: false },
  choices: dpmChoices,
  takes: ['timesteps', 'mu'],
  plan: (options, run) => {
    const zero = options.final_sigmas_type === 'zero'
    const grid = solverGrid({ ...options, timestep_spacing: 'linspace' }, run, ratioTable(options), {
      last: zero ? 'zero' : 'first-timestep',
      round: true,
      clipLambda: options.lambda_min_clipped,
    })
    const solver = solverOf(options)
    const { solver_order: order } = options
    return planOf(options, grid, run, isLearned(options.variance_type), ({ path, sigmas, steps }) => {
      const lower = options.lower_order_final || zero || steps % order !== 0
      const orders = singlestepOrders(steps, order, lower)
      if (zero) orders[orders.length - 1] = 1
      const { generator, start } = run
      return (denoise, x) => dpmSinglestep(denoise, x, sigmas, { ...solver, orders: orders.slice(start), path, generator })
    })
  },
})

export const DEISMultistepScheduler = kind({
  defaults: { ...solverOptions, solver_order: 2, algorithm_type: 'deis', solver_type: 'logrho' },
  choices: { algorithm_type: ['deis', 'dpmsolver', 'dpmsolver++'], solver_type: ['logrho', 'midpoint', 'heun', 'bh1', 'bh2'] },
  takes: ['timesteps', 'mu'],
  plan: (options, run) => {
    const grid = solverGrid(options, run, ratioTable(options), { last: 'repeat', round: true })
    const solver = ({ steps: all }: Parts): MultistepSolver => ({
      ...exponentialAdams({ form: 'noise' }),
      order: (i, steps) => {
        const left = options.lower_order_final && all < 15 ? steps - i : 3
        return Math.min(options.solver_order, left)
      },
    })
    return planOf(options, grid, run, false, many(solver, run))
  },
})

export const UniPCMultistepScheduler = kind({
  defaults: {
    ...solverOptions,
    solver_order: 2,
    predict_x0: true,
    solver_type: 'bh2' as 'bh1' | 'bh2',
    disable_corrector: [] as readonly number[],
    solver_p: null,
    final_sigmas_type: 'zero' as 'zero' | 'sigma_min',
    rescale_betas_zero_snr: false,
    sigma_min: null as number | null,
    sigma_max: null as number | null,
    shift_terminal: null as number | null,
  },
  choices: {
    solver_type: ['bh1', 'bh2', 'midpoint', 'heun', 'logrho'],
    final_sigmas_type: ['zero', 'sigma_min'],
    time_shift_type: ['exponential', 'linear'],
  },
  takes: ['timesteps', 'sigmas', 'mu'],
  plan: (options, run) => {
    if (options.solver_p !== null) throw new ArgumentError('solver_p, another scheduler as predictor, is not supported')
    if (options.shift_terminal !== null && !options.use_flow_sigmas)
      throw new ArgumentError('shift_terminal needs use_flow_sigmas')
    const spread =
      options.use_karras_sigmas || options.use_exponential_sigmas || options.use_beta_sigmas || options.use_flow_sigmas
    const grid = solverGrid(options, run, ratioTable(options, options.rescale_betas_zero_snr), {
      last: options.final_sigmas_type === 'zero' ? 'zero' : spread ? 'repeat' : 'first-timestep',
      round: true,
      flowFromOne: true,
      terminal: options.shift_terminal,
    })
    const solver = ({ timesteps }: Parts) =>
      unipc({
        order: options.solver_order,
        form: options.predict_x0 ? 'data' : 'noise',
        variant: options.solver_type === 'bh1' ? 'bh1' : 'bh2',
        uncorrected: options.disable_corrector.map((i) => i - (grid.timesteps.length - timesteps.length)),
        lowerFinal: options.lower_order_final,
      })
    return planOf(options, grid, run, false, many(solver, run))
  },
})

export const SASolverScheduler = kind({
  defaults: {
    ...solverOptions,
    predictor_order: 2,
    corrector_order: 2,
    algorithm_type: 'data_prediction',
    tau_func: null,
    lambda_min_clipped: -Infinity,
    variance_type: null as string | null,
  },
  choices: { algorithm_type: ['data_prediction', 'noise_prediction'] },
  takes: ['timesteps'],
  plan: (options, run) => {
    if (options.tau_func !== null)
      throw new ArgumentError('tau_func: a function cannot come from a config; use saSolver directly')
    const grid = solverGrid(options, run, ratioTable(options), {
      last: 'repeat',
      round: true,
      clipLambda: options.lambda_min_clipped,
    })
    const solver = ({ timesteps }: Parts) =>
      saSolver({
        predictor: options.predictor_order,
        corrector: options.corrector_order,
        form: options.algorithm_type === 'data_prediction' ? 'data' : 'noise',
        tau: (i) => ((timesteps[i] as number) >= 200 && (timesteps[i] as number) <= 800 ? 1 : 0),
        lowerFinal: options.lower_order_final,
      })
    return planOf(options, grid, run, isLearned(options.variance_type), many(solver, run))
  },
})
