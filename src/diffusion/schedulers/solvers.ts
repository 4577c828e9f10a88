import { ArgumentError } from '../../core/errors.ts'
import { exponentialAdams } from '../samplers/dpm-solver.ts'
import type { MultistepSolver } from '../samplers/exponential.ts'
import { saSolver, unipc } from '../samplers/unipc.ts'
import { ratioTable, solverGrid, solverOptions } from './grids.ts'
import { spec } from './scheduler.ts'
import { checkOrder, isLearned, many, type Parts, planOf } from './solver-plan.ts'

// DEIS, UniPC and SA-Solver.

export const DEISMultistepScheduler = spec({
  defaults: { ...solverOptions, solver_order: 2, algorithm_type: 'deis', solver_type: 'logrho' },
  choices: { algorithm_type: ['deis', 'dpmsolver', 'dpmsolver++'], solver_type: ['logrho', 'midpoint', 'heun', 'bh1', 'bh2'] },
  accepts: ['timesteps', 'mu'],
  plan: (options, run) => {
    checkOrder('solver_order', options.solver_order)
    if (options.prediction_type === 'flow_prediction' && !options.use_flow_sigmas)
      throw new ArgumentError('DEISMultistepScheduler: prediction_type flow_prediction needs use_flow_sigmas')
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

export const UniPCMultistepScheduler = spec({
  defaults: {
    ...solverOptions,
    solver_order: 2,
    predict_x0: true,
    solver_type: 'bh2' as 'bh1' | 'bh2',
    disable_corrector: [] as readonly number[],
    solver_p: null,
    final_sigmas_type: 'zero' as 'zero' | 'sigma_min',
    rescale_betas_zero_snr: false,
    shift_terminal: null as number | null,
  },
  choices: {
    solver_type: ['bh1', 'bh2', 'midpoint', 'heun', 'logrho'],
    final_sigmas_type: ['zero', 'sigma_min'],
    time_shift_type: ['exponential', 'linear'],
  },
  accepts: ['timesteps', 'sigmas', 'mu'],
  plan: (options, run) => {
    checkOrder('solver_order', options.solver_order)
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

export const SASolverScheduler = spec({
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
  accepts: ['timesteps'],
  plan: (options, run) => {
    if (options.tau_func !== null)
      throw new ArgumentError('tau_func: a function cannot come from a config; use saSolver directly')
    checkOrder('predictor_order', options.predictor_order)
    checkOrder('corrector_order', options.corrector_order)
    const grid = solverGrid(options, run, ratioTable(options), {
      last: 'repeat',
      round: true,
      static: true,
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
