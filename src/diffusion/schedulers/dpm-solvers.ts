import { ArgumentError } from '../../core/errors.ts'
import { type DpmSolver, dpmSinglestep, dpmSolver, singlestepOrders } from '../samplers/dpm-solver.ts'
import { type MultistepSolver, multistep } from '../samplers/exponential.ts'
import { shiftSigma, timestepOfSigma } from '../sigmas.ts'
import { numpyLinspace, roundHalfEven, trailingTimesteps } from '../spacing.ts'
import { noisiest, ratioTable, type SolverGrid, solverGrid, solverOptions, spreadOf } from './grids.ts'
import { type RunOptions, spec } from './scheduler.ts'
import { checkOrder, isLearned, many, planOf } from './solver-plan.ts'

// DPM-Solver and DPM-Solver++ in their multistep, inverse and single-step forms.

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
