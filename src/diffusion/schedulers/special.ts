import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { type BetaSchedule, betaSchedule, linspace } from '../betas.ts'
import { repaint, repaintVisits } from '../editing.ts'
import { levelOf, ve, vp } from '../paths.ts'
import { toData } from '../predictions.ts'
import { predictorCorrector } from '../samplers/langevin.ts'
import { exponentialSigmas } from '../sigmas.ts'
import { spec } from './scheduler.ts'
import { alphaTable, betaOptions, clipOptions, clipper, vpSigma } from './tables.ts'

/** The variance-exploding SDE by predictor and corrector; the network gives the score and is told σ. */
export const ScoreSdeVeScheduler = spec({
  defaults: { num_train_timesteps: 2000, snr: 0.15, sigma_min: 0.01, sigma_max: 1348, sampling_eps: 1e-5, correct_steps: 1 },
  plan: (options, run) => {
    const { snr, sigma_min: min, sigma_max: max, correct_steps: corrections } = options
    const steps = run.steps as number
    const start = run.start ?? 0
    const told = Array.from(linspace(1, options.sampling_eps, steps), (t) => min * (max / min) ** t).slice(start)
    const sigmas = [...exponentialSigmas({ min, max, steps }), 0].map(Math.fround).slice(start)
    return {
      path: ve,
      timesteps: told.flatMap((sigma) => new Array<number>(corrections + 1).fill(sigma)),
      initialSigma: max,
      data: (output, x, sigma) => toData('score', output, x, levelOf(ve, sigma)),
      sample: (denoise, x) => predictorCorrector(denoise, x, sigmas, { generator: run.generator, corrections, snr }),
    }
  },
})

/** RePaint's in-painting; `run` needs `known`. */
export const RePaintScheduler = spec({
  defaults: { ...betaOptions, beta_schedule: 'linear' as BetaSchedule, eta: 0, clip_sample: true },
  accepts: ['known'],
  plan: (options, run) => {
    const { num_train_timesteps: trainSteps, beta_schedule: name, beta_start: start, beta_end: end } = options
    const steps = Math.min(trainSteps, run.steps as number)
    const known = run.known
    if (!known) throw new ArgumentError('RePaintScheduler: pass { known: { data, mask } }, the picture and 1 where it is known')
    if (run.start) throw new ArgumentError('RePaintScheduler: a run cannot start late')
    const bars = alphaTable(options)
    const betas = options.trained_betas ?? betaSchedule(name, { steps: trainSteps, start, end })
    const hop = Math.floor(trainSteps / steps)
    const visits = repaintVisits(steps, { length: known.jumpLength, times: known.jumpTimes })
    const rises = visits.map((t, i) => i > 0 && t > (visits[i - 1] as number))
    const at = (visit: number) => (visit < 0 ? 0 : vpSigma(bars, visit * hop))
    const hops = visits.map((t, i) => (rises[i] ? [at(t - 2), at(t - 1)] : [at(t), at(t - 1)]) as [number, number])
    const clip = clipper({ ...clipOptions, clip_sample: options.clip_sample })
    const { generator } = run
    return {
      timesteps: visits.filter((_, i) => !rises[i]).map((t) => t * hop),
      initialSigma: 1,
      data: (output, x, sigma) => toData('epsilon', output, x, levelOf(vp, sigma)),
      sample: (denoise, x) =>
        repaint(denoise, x, hops, {
          known: known.data,
          mask: known.mask,
          generator,
          eta: options.eta,
          clip,
          // diffusers goes up one training step at a time, from the visit before.
          forward: (state: NdArray, _from, _to, i) => {
            let up = state
            for (let k = 0; k < hop; k++) {
              const beta = betas[(visits[i - 1] as number) * hop + k] as number
              up = up.mul(Math.sqrt(1 - beta)).add(generator.randn(up.shape).mul(Math.sqrt(beta)))
            }
            return up
          },
        }),
    }
  },
})
