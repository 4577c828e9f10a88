import { ArgumentError } from '../../core/errors.ts'
import { consistencyScaling } from '../edm.ts'
import { levelOf, ve, vp } from '../paths.ts'
import { type Prediction, toData } from '../predictions.ts'
import { consistency, tcd } from '../samplers/consistency.ts'
import { checkTimesteps, wholeTimesteps } from '../spacing.ts'
import { type RunOptions, spec } from './scheduler.ts'
import { alphaTable, betaOptions, clipOptions, clipper, vpSigma } from './tables.ts'

// Networks distilled to need few steps: latent consistency, trajectory consistency, consistency models.

const latent = {
  ...betaOptions,
  ...clipOptions,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear' as typeof betaOptions.beta_schedule,
  clip_sample: false,
  original_inference_steps: 50,
  set_alpha_to_one: true,
  steps_offset: 0,
  prediction_type: 'epsilon' as Prediction,
  timestep_spacing: 'leading',
  timestep_scaling: 10,
  rescale_betas_zero_snr: false,
}

/** `steps` of the timesteps that the network was distilled on, from the noisiest down. */
function distilledTimesteps(options: typeof latent, { steps, timesteps, start }: RunOptions): readonly number[] {
  const { num_train_timesteps: trainSteps, original_inference_steps: original } = options
  if (timesteps) return wholeTimesteps(timesteps, trainSteps).slice(start)
  const count = steps as number
  if (count > original) throw new ArgumentError(`steps: ${count} is more than original_inference_steps, ${original}`)
  const hop = Math.floor(trainSteps / original)
  return Array.from({ length: count }, (_, i) => (original - Math.floor((i * original) / count)) * hop - 1).slice(start)
}

export const LCMScheduler = spec({
  defaults: latent,
  accepts: ['timesteps'],
  plan: (options, run) => {
    const bars = alphaTable(options, options.rescale_betas_zero_snr)
    const timesteps = distilledTimesteps(options, run)
    const clip = clipper(options)
    return {
      timesteps,
      initialSigma: 1,
      data: (output, x, sigma, t) => {
        const data = clip(toData(options.prediction_type, output, x, levelOf(vp, sigma)))
        const scaled = t * options.timestep_scaling
        return data.mul(scaled / Math.sqrt(scaled ** 2 + 0.25)).add(x.mul(0.25 / (scaled ** 2 + 0.25)))
      },
      sample: (denoise, x) =>
        consistency(denoise, x, [...timesteps.map((t) => vpSigma(bars, t)), 0], { path: vp, generator: run.generator }),
    }
  },
})

export const TCDScheduler = spec({
  defaults: latent,
  accepts: ['timesteps', 'eta'],
  plan: (options, run) => {
    const bars = alphaTable(options, options.rescale_betas_zero_snr)
    const timesteps = distilledTimesteps(options, run)
    const eta = run.eta ?? 0.3
    if (!(eta >= 0 && eta <= 1)) throw new ArgumentError(`eta: expected 0 … 1, got ${eta}`)
    // float32, as PyTorch multiplies: .7 · 90 is 63 there and just below it in float64.
    const share = (t: number) => Math.floor(Math.fround(Math.fround(1 - eta) * t))
    const landings = timesteps.map((_, i) => vpSigma(bars, share(timesteps[i + 1] ?? 0)))
    const sigmas = [...timesteps, 0].map((t) => vpSigma(bars, t))
    return {
      timesteps,
      initialSigma: 1,
      data: (output, x, sigma) => toData(options.prediction_type, output, x, levelOf(vp, sigma)),
      sample: (denoise, x) => tcd(denoise, x, sigmas, { landings, generator: run.generator }),
    }
  },
})

export const CMStochasticIterativeScheduler = spec({
  defaults: {
    num_train_timesteps: 40,
    sigma_min: 0.002,
    sigma_max: 80,
    sigma_data: 0.5,
    s_noise: 1,
    rho: 7,
    clip_denoised: true,
  },
  accepts: ['timesteps'],
  plan: (options, run) => {
    const { num_train_timesteps: trainSteps, sigma_min: min, sigma_max: max, sigma_data: sigmaData, rho } = options
    const hop = Math.floor(trainSteps / (run.steps ?? 1))
    if (run.timesteps) checkTimesteps(run.timesteps, trainSteps)
    const indexes = run.timesteps ? [...run.timesteps].reverse() : Array.from({ length: run.steps as number }, (_, i) => i * hop)
    const [low, high] = [min ** (1 / rho), max ** (1 / rho)]
    const exact = indexes.map((i) => (high + (i / (trainSteps - 1)) * (low - high)) ** rho).slice(run.start)
    const sigmas = [...exact, min].map(Math.fround)
    return {
      path: ve,
      timesteps: exact.map((sigma) => 250 * Math.log(sigma + 1e-44)),
      initialSigma: max,
      input: (x, sigma) => x.div(Math.sqrt(sigma ** 2 + sigmaData ** 2)),
      data: (output, x, sigma) => {
        const { skip, out } = consistencyScaling(sigma, { sigmaData, min })
        const data = output.mul(out).add(x.mul(skip))
        return options.clip_denoised ? data.clamp(-1, 1) : data
      },
      sample: (denoise, x) =>
        consistency(denoise, x, sigmas, {
          generator: run.generator,
          renoise: (sigma) => options.s_noise * Math.sqrt(Math.max(0, Math.min(sigma, max) ** 2 - min ** 2)),
        }),
    }
  },
})
