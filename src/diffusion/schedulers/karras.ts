import type { NdArray } from '../../runtime/ndarray.ts'
import type { Denoise, Sampling } from '../denoiser.ts'
import { levelOf, sigmaFromRatio, ve, vp } from '../paths.ts'
import { type Prediction, toData } from '../predictions.ts'
import { lms } from '../samplers/adams.ts'
import { dpmppSde } from '../samplers/dpm-solver.ts'
import { churned, dpm2, dpm2Ancestral, euler, eulerAncestral, heun } from '../samplers/euler.ts'
import { timestepOfSigma } from '../sigmas.ts'
import { roundHalfEven } from '../spacing.ts'
import { type Grid, initialSigma, ratioTable, sigmaGrid, sigmaOptions } from './grids.ts'
import { type RunOptions, type SamplingPlan, spec } from './scheduler.ts'
import { betaOptions } from './tables.ts'

// The samplers in σ: states have the `ve` form x0 + σε; the network gets them scaled to unit variance.

const scaled = (x: NdArray, sigma: number): NdArray => x.div(Math.sqrt(sigma * sigma + 1))

/** The data for a state of the `ve` form, from a network that saw it in the `vp` form. */
function dataOf(prediction: Prediction, output: NdArray, x: NdArray, sigma: number): NdArray {
  if ((prediction as string) === 'original_sample') return output
  if (prediction === 'epsilon') return toData(prediction, output, x, levelOf(ve, sigma))
  return toData(prediction, output, scaled(x, sigma), levelOf(vp, sigmaFromRatio(vp, sigma)))
}

/** The plan that all these share; `repeat` lists the timesteps of a step's evaluations. */
function planOf(
  options: typeof sigmaOptions,
  grid: Grid,
  run: RunOptions,
  sample: (denoise: Denoise, x: NdArray, sigmas: readonly number[]) => Sampling,
  repeat: (i: number, grid: Grid) => readonly number[] = (i, { timesteps }) => [timesteps[i] as number],
): SamplingPlan {
  const start = run.start ?? 0
  return {
    path: ve,
    timesteps: grid.timesteps.flatMap((_, i) => (i < start ? [] : repeat(i, grid))),
    initialSigma: initialSigma(grid, options.timestep_spacing),
    input: scaled,
    data: (output, x, sigma) => dataOf(options.prediction_type, output, x, sigma),
    sample: (denoise, x) => sample(denoise, x, grid.sigmas.slice(start)),
  }
}

/** A step's timestep, then that of its second evaluation at the next level, but for the last step. */
const nextToo = (i: number, { timesteps }: Grid) => timesteps.slice(i, i + 2)

export const EulerDiscreteScheduler = spec({
  defaults: {
    ...sigmaOptions,
    interpolation_type: 'linear',
    timestep_type: 'discrete',
    rescale_betas_zero_snr: false,
    final_sigmas_type: 'zero',
  },
  choices: {
    interpolation_type: ['linear', 'log_linear'],
    timestep_type: ['discrete', 'continuous'],
    final_sigmas_type: ['zero', 'sigma_min'],
    // Two names of one thing.
    prediction_type: ['epsilon', 'sample', 'original_sample', 'v_prediction'],
  },
  accepts: ['timesteps', 'sigmas', 'churn'],
  plan: (options, run) => {
    const table = ratioTable(options, options.rescale_betas_zero_snr)
    const continuous = options.timestep_type === 'continuous' && options.prediction_type === 'v_prediction'
    const logLinear = options.interpolation_type === 'log_linear' ? (continuous ? 'goes on' : 'ends') : undefined
    const base = sigmaGrid(options, run, table, logLinear)
    const toZero = options.final_sigmas_type === 'zero' || logLinear === 'ends' || run.sigmas
    const levels = toZero ? base.sigmas : base.sigmas.with(-1, table[0] as number)
    const timesteps = continuous ? levels.slice(0, -1).map((sigma) => 0.25 * Math.log(sigma)) : base.timesteps
    const plain = planOf(options, { timesteps, sigmas: levels }, run, (denoise, x, sigmas) => euler(denoise, x, sigmas))
    if (!run.churn) return plain
    // diffusers evaluates the network before it adds the noise of churn, and reads the output as if after.
    const raise = churned(run.churn, timesteps.length, run.generator)
    let [clean, level]: [NdArray | undefined, number] = [undefined, 0]
    return {
      ...plain,
      input: () => scaled(clean as NdArray, level),
      data: (output, x, sigma) =>
        dataOf(options.prediction_type, output, x, options.prediction_type === 'epsilon' ? sigma : level),
      sample: (denoise, x) =>
        euler(denoise, x, levels.slice(run.start), {
          perturb: (state, sigma) => {
            clean = state
            level = sigma
            return raise(state, sigma)
          },
        }),
    }
  },
})

const plainSigmas = {
  ...betaOptions,
  prediction_type: sigmaOptions.prediction_type,
  timestep_spacing: sigmaOptions.timestep_spacing,
  steps_offset: 0,
}

export const EulerAncestralDiscreteScheduler = spec({
  defaults: { ...plainSigmas, rescale_betas_zero_snr: false },
  accepts: ['timesteps', 'sigmas', 'eta'],
  plan: (own, run) => {
    // Spread levels are options of every sampler in σ but this one, which diffusers leaves on the levels of its timesteps.
    const options = { ...sigmaOptions, ...own }
    return planOf(
      options,
      sigmaGrid(options, run, ratioTable(options, options.rescale_betas_zero_snr)),
      run,
      (denoise, x, sigmas) => eulerAncestral(denoise, x, sigmas, { generator: run.generator, eta: run.eta ?? 1 }),
    )
  },
})

const late = { beta_start: 0.00085, beta_end: 0.012 }

export const HeunDiscreteScheduler = spec({
  defaults: { ...sigmaOptions, ...late, clip_sample: false, clip_sample_range: 1 },
  accepts: ['timesteps', 'sigmas'],
  plan: (options, run) => {
    const plan = planOf(options, sigmaGrid(options, run, ratioTable(options)), run, (d, x, sigmas) => heun(d, x, sigmas), nextToo)
    const range = options.clip_sample_range
    if (!options.clip_sample) return plan
    return { ...plan, data: (...seen) => plan.data(...seen).clamp(-range, range) }
  },
})

/** Steps of which Karras levels have their timesteps rounded. */
function dpm2Grid(options: typeof sigmaOptions, run: RunOptions, table: Float32Array): Grid {
  const grid = sigmaGrid(options, run, table)
  return options.use_karras_sigmas ? { ...grid, timesteps: grid.timesteps.map(roundHalfEven) } : grid
}

export const KDPM2DiscreteScheduler = spec({
  defaults: { ...sigmaOptions, ...late },
  accepts: ['timesteps', 'sigmas'],
  plan: (options, run) => {
    const table = ratioTable(options)
    const middle = (i: number, { timesteps, sigmas }: Grid) => {
      const next = sigmas[i + 1] as number
      return [timesteps[i] as number, ...(next > 0 ? [timestepOfSigma(table, Math.sqrt((sigmas[i] as number) * next))] : [])]
    }
    return planOf(options, dpm2Grid(options, run, table), run, (d, x, sigmas) => dpm2(d, x, sigmas), middle)
  },
})

export const KDPM2AncestralDiscreteScheduler = spec({
  defaults: { ...sigmaOptions, ...late },
  accepts: ['timesteps', 'sigmas'],
  plan: (options, run) => {
    const table = ratioTable(options)
    const middle = (i: number, { timesteps, sigmas }: Grid) => {
      const [sigma, next] = [sigmas[i] as number, sigmas[i + 1] as number]
      // The way down ends at σ'²/σ, so the middle in ln σ is σ' itself.
      return [timesteps[i] as number, ...(next > 0 ? [timestepOfSigma(table, Math.sqrt(sigma * (next ** 2 / sigma)))] : [])]
    }
    const { generator } = run
    return planOf(options, dpm2Grid(options, run, table), run, (d, x, s) => dpm2Ancestral(d, x, s, { generator }), middle)
  },
})

/** Karras levels of these classes end where the table does; sigma_min and sigma_max bound the other spreads only, as in diffusers. */
const tableEnds = <O extends typeof sigmaOptions>(options: O): O =>
  options.use_karras_sigmas ? { ...options, sigma_min: null, sigma_max: null } : options

export const LMSDiscreteScheduler = spec({
  defaults: sigmaOptions,
  accepts: ['timesteps', 'sigmas'],
  plan: (options, run) => {
    const grid = sigmaGrid(tableEnds(options), run, ratioTable(options))
    const before = grid.sigmas.slice(0, run.start ?? 0)
    return planOf(options, grid, run, (denoise, x, sigmas) => lms(denoise, x, sigmas, { before }))
  },
})

export const DPMSolverSDEScheduler = spec({
  defaults: { ...sigmaOptions, ...late, noise_sampler_seed: null as number | null },
  accepts: ['timesteps', 'sigmas'],
  plan: (options, run) => {
    const table = ratioTable(options)
    const middle = (i: number, { timesteps, sigmas }: Grid) => {
      const next = sigmas[i + 1] as number
      return [timesteps[i] as number, ...(next > 0 ? [timestepOfSigma(table, Math.sqrt((sigmas[i] as number) * next))] : [])]
    }
    const { generator } = run
    return planOf(options, sigmaGrid(tableEnds(options), run, table), run, (d, x, s) => dpmppSde(d, x, s, { generator }), middle)
  },
})
