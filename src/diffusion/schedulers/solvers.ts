import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { flow, levelOf, sigmaFromRatio, vp } from '../paths.ts'
import { dynamicThreshold, toData } from '../predictions.ts'
import { type DpmSolver, dpmSinglestep, dpmSolver, exponentialAdams, singlestepOrders } from '../samplers/dpm-solver.ts'
import { type MultistepSolver, multistep, repeatedLevel } from '../samplers/exponential.ts'
import { saSolver, unipc } from '../samplers/unipc.ts'
import { shiftSigma, timestepOfSigma } from '../sigmas.ts'
import { numpyLinspace, roundHalfEven, trailingTimesteps } from '../spacing.ts'
import { noisiest, ratioTable, type SolverGrid, solverGrid, solverOptions, spreadOf } from './grids.ts'
import { type RunOptions, type SamplingPlan, spec } from './scheduler.ts'
import { halves } from './tables.ts'

// The exponential integrators: states have the `vp` (or `flow`) form, levels come as σ/α (or σ of the flow).

type Options = typeof solverOptions

/** A DDPM's config brings its fixed variances along, which leave the output whole. */
const isLearned = (variance: string | null) => variance === 'learned' || variance === 'learned_range'

/** Everything of a plan but the sampler; `split` drops the variance half of the output. */
function planOf(
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
  // Without flow levels diffusers still subtracts a predicted flow times the level as its grid has it, σ/α.
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
interface Parts {
  readonly path: typeof vp
  readonly sigmas: readonly number[]
  readonly timesteps: readonly number[]
  /** Of the whole run, before `start`. */
  readonly steps: number
}

const many =
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

/** An order that diffusers' integrators can use: a whole number of at least 1. Above a solver's highest they use that. */
function checkOrder(option: string, order: number): void {
  if (!(Number.isInteger(order) && order >= 1)) throw new ArgumentError(`${option} is ${order}; expected a whole number ≥ 1`)
}

function solverOf(options: typeof dpmOptions): DpmSolver {
  const { algorithm_type: algorithm, solver_type: type, solver_order: order, final_sigmas_type: final } = options
  const form = algorithm === 'dpmsolver' || algorithm === 'sde-dpmsolver' ? 'noise' : 'data'
  checkOrder('solver_order', order)
  if (form === 'noise' && final === 'zero')
    throw new ArgumentError(`algorithm_type ${algorithm} cannot end at noise level 0; set final_sigmas_type to sigma_min`)
  if (algorithm === 'sde-dpmsolver' && order >= 3) throw new ArgumentError('sde-dpmsolver has no third order; use 1 or 2')
  return {
    order: Math.min(order, 3) as 1 | 2 | 3,
    form,
    variant: type === 'heun' ? 'heun' : 'midpoint',
    stochastic: algorithm.startsWith('sde'),
    likeDiffusers: true,
  }
}

export const DPMSolverMultistepScheduler = spec({
  defaults: { ...dpmOptions, euler_at_final: false, use_lu_lambdas: false, rescale_betas_zero_snr: false },
  choices: dpmChoices,
  accepts: ['timesteps', 'mu'],
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
export const DPMSolverMultistepInverseScheduler = spec({
  defaults: { ...dpmOptions, euler_at_final: false },
  choices: dpmChoices,
  plan: (options, run) => {
    return planOf(
      options,
      risingGrid(options, run),
      run,
      isLearned(options.variance_type),
      ({ sigmas: levels, path, steps: all }) => {
        const solver = lowering({ ...options, final_sigmas_type: 'sigma_min' }, all, false)
        return (denoise, x) => multistep(denoise, x, levels, solver, { path, generator: run.generator })
      },
    )
  },
})

/** The inverse's rising levels: of its timesteps, of a spread that repeats its last level, or of a flow, which diffusers lets fall. */
function risingGrid(options: typeof dpmOptions, run: RunOptions): SolverGrid {
  const { num_train_timesteps: trainSteps, steps_offset: offset, flow_shift: shift } = options
  const table = ratioTable(options)
  const steps = run.steps as number
  const end = noisiest(table, options.lambda_min_clipped)
  const hop = Math.floor((end + 1) / (steps + 1))
  const spread = spreadOf(options, run)
  const flow = options.use_flow_sigmas && !spread
  const even = () =>
    ({
      linspace: () => Array.from({ length: steps }, (_, i) => roundHalfEven((i * end) / steps)),
      leading: () => Array.from({ length: steps }, (_, i) => i * hop + offset),
      trailing: () => trailingTimesteps(steps, { trainSteps, end: end + 1 }).reverse(),
    })[options.timestep_spacing]()
  const levels = spread
    ? spread({ min: table.at(-1) as number, max: table[0] as number, steps })
    : flow
      ? numpyLinspace(1, 1 / trainSteps, steps + 1)
          .map((a) => shiftSigma(1 - a, shift))
          .reverse()
          .slice(0, steps)
      : even().map((t) => table[t] as number)
  const round = options.use_karras_sigmas ? roundHalfEven : Math.trunc
  const all = spread
    ? levels.map((sigma) => round(timestepOfSigma(table, sigma)))
    : flow
      ? levels.map((s) => Math.trunc(s * trainSteps))
      : even()
  // A timestep that comes twice is left out of the timesteps and not of the levels.
  const timesteps = all.filter((t, i) => all.indexOf(t) === i)
  const sigmas = [...levels, spread || flow ? (levels.at(-1) as number) : (table[end] as number)].map(Math.fround)
  return { timesteps, sigmas: sigmas.slice(0, timesteps.length + 1), flow: options.use_flow_sigmas }
}

/** DPM-Solver with diffusers' rules for using fewer evaluations in the last two steps. */
function lowering(options: typeof dpmOptions & { euler_at_final: boolean }, all: number, toZero: boolean): MultistepSolver {
  const short = options.lower_order_final && all < 15
  return dpmSolver(solverOf(options), (i, steps) => {
    if (i === steps - 1 && (options.euler_at_final || short || toZero)) return 1
    return i === steps - 2 && short ? 2 : 3
  })
}

export const DPMSolverSinglestepScheduler = spec({
  defaults: { ...dpmOptions, lower_order_final: false },
  choices: dpmChoices,
  accepts: ['timesteps', 'mu'],
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
