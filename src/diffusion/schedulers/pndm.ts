import { ArgumentError } from '../../core/errors.ts'
import { levelOf, vp } from '../paths.ts'
import { type Prediction, toData } from '../predictions.ts'
import { ipndm, pndm } from '../samplers/adams.ts'
import { type Spacing, timestepsBySpacing } from '../spacing.ts'
import { spec } from './scheduler.ts'
import { alphaTable, betaOptions, vpSigma } from './tables.ts'

export const PNDMScheduler = spec({
  defaults: {
    ...betaOptions,
    skip_prk_steps: false,
    set_alpha_to_one: false,
    prediction_type: 'epsilon' as Prediction,
    timestep_spacing: 'leading' as Spacing,
    steps_offset: 0,
  },
  choices: { prediction_type: ['epsilon', 'v_prediction'] },
  plan: (options, run) => {
    const { num_train_timesteps: trainSteps, steps_offset: offset, skip_prk_steps: plms } = options
    const bars = alphaTable(options)
    const steps = run.steps as number
    if (!plms && steps < 4)
      throw new ArgumentError(`PNDMScheduler: its Runge–Kutta start takes 3 steps; ask for 4 or more, not ${steps}`)
    const start = run.start ?? 0
    const all = timestepsBySpacing(options.timestep_spacing, steps, { trainSteps, offset })
    // A late start leaves out calls of the network in diffusers, not steps: of PLMS one call belongs to no step of its own, and
    // what follows its corrected first step then counts one step more than was made.
    const plmsCalls = all.length > 1 ? all.toSpliced(1, 0, all[1] as number).slice(start) : all
    const grid = plms && start > 0 ? plmsCalls.toSpliced(1, 1) : all.slice(start)
    const hop = Math.floor(trainSteps / steps)
    const half = Math.floor(hop / 2)
    const final = options.set_alpha_to_one ? 0 : vpSigma(bars, 0)
    const at = (t: number) => (t >= 0 ? vpSigma(bars, t) : final)
    const next = (i: number) => (plms ? plmsCalls : grid)[i + 1] ?? (grid[i] as number) - hop
    // The Runge–Kutta steps land on the next timestep, the others one hop below their own, as diffusers has it.
    const targets = grid.map((t, i) => at(!plms && i < 3 ? next(i) : t - hop))
    const timesteps = plms ? plmsCalls : grid.flatMap((t, i) => (i < 3 ? [t, next(i) + half, next(i) + half, next(i)] : [t]))
    return {
      timesteps,
      initialSigma: 1,
      data: (output, x, sigma) => toData(options.prediction_type, output, x, levelOf(vp, sigma)),
      sample: (denoise, x) =>
        pndm(denoise, x, [...grid.map(at), targets.at(-1) as number], {
          start: plms ? (plmsCalls.length > 1 ? 'euler' : 'none') : 'runge-kutta',
          along: options.prediction_type === 'epsilon' ? 'noise' : 'velocity',
          targets,
          middles: grid.slice(0, 3).map((t, i) => [at(t - half), at(next(i) + half)] as const),
          corrected: [at(next(0) + hop), at(next(0))],
        }),
    }
  },
})

export const IPNDMScheduler = spec({
  defaults: { num_train_timesteps: 1000, trained_betas: null as readonly number[] | null },
  plan: (options, run) => {
    const steps = run.steps as number
    if (options.trained_betas && options.trained_betas.length !== steps + 1)
      throw new ArgumentError(
        `trained_betas: expected ${steps + 1} levels for ${steps} steps, got ${options.trained_betas.length}`,
      )
    const even = Array.from({ length: steps + 1 }, (_, i) => Math.sin(((1 - i / steps) * Math.PI) / 2) ** 2)
    const sigmas = (options.trained_betas ?? even).slice(run.start).map(Math.fround)
    return {
      timesteps: sigmas.slice(0, -1).map((sigma) => (Math.atan2(sigma, vp.alpha(sigma)) / Math.PI) * 2),
      initialSigma: 1,
      data: (output, x, sigma) => toData('v_prediction', output, x, levelOf(vp, sigma)),
      sample: (denoise, x) => ipndm(denoise, x, sigmas),
    }
  },
})
