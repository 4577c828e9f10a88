import type { NdArray } from '../../runtime/ndarray.ts'
import { levelOf, vp } from '../denoiser.ts'
import { type Prediction, toData } from '../predictions.ts'
import { ddim } from '../samplers/ddim.ts'
import { ddpm, fixedLarge, fixedSmall, learnedRange, type ReverseStd } from '../samplers/ddpm.ts'
import { checkTimesteps, type Spacing, timestepsBySpacing } from '../spacing.ts'
import { alphaTable, betaOptions, clipOptions, clipper, kind, type RunOptions, vpSigma } from './scheduler.ts'

const shared = {
  ...betaOptions,
  ...clipOptions,
  prediction_type: 'epsilon' as Prediction,
  timestep_spacing: 'leading' as Spacing,
  steps_offset: 0,
  rescale_betas_zero_snr: false,
}

function chosen(options: typeof shared, { timesteps, steps }: RunOptions): readonly number[] {
  const { num_train_timesteps: trainSteps, steps_offset: offset } = options
  if (timesteps) checkTimesteps(timesteps, trainSteps)
  return timesteps ?? timestepsBySpacing(options.timestep_spacing, steps as number, { trainSteps, offset })
}

type Variance = 'fixed_small' | 'fixed_small_log' | 'fixed_large' | 'fixed_large_log' | 'learned' | 'learned_range'

export const DDPMScheduler = kind({
  defaults: { ...shared, variance_type: 'fixed_small' as Variance },
  choices: { variance_type: ['fixed_small', 'fixed_small_log', 'fixed_large', 'fixed_large_log', 'learned', 'learned_range'] },
  plan: (options, run) => {
    const bars = alphaTable(options, options.rescale_betas_zero_snr)
    const timesteps = chosen(options, run).slice(run.start)
    const clip = clipper(options)
    let variance: NdArray
    const std: Record<Variance, ReverseStd> = {
      fixed_small: fixedSmall,
      fixed_small_log: fixedSmall,
      fixed_large: fixedLarge,
      fixed_large_log: fixedLarge,
      learned: () => variance.sqrt(),
      learned_range: learnedRange(() => variance),
    }
    const type = options.variance_type
    const noiseAtEnd = (timesteps.at(-1) as number) > 0
    return {
      timesteps,
      initialSigma: 1,
      data: (output, x, sigma) => {
        let mean = output
        if (type === 'learned' || type === 'learned_range') [mean, variance] = halves(output)
        return clip(toData(options.prediction_type, mean, x, levelOf(vp, sigma)))
      },
      sample: (denoise, x) =>
        ddpm(denoise, x, [...timesteps.map((t) => vpSigma(bars, t)), 0], {
          generator: run.generator,
          std: std[type],
          noiseAtEnd,
        }),
    }
  },
})

/** [B, 2C, …] → the prediction and the variance, [B, C, …] each. */
export function halves(output: NdArray): [NdArray, NdArray] {
  const half = (output.shape[1] as number) / 2
  return [output.slice(1, 0, half), output.slice(1, half)]
}

export const DDIMScheduler = kind({
  defaults: { ...shared, set_alpha_to_one: true },
  plan: (options, run) => {
    const bars = alphaTable(options, options.rescale_betas_zero_snr)
    const all = chosen(options, run)
    const timesteps = all.slice(run.start)
    const hop = Math.floor(options.num_train_timesteps / all.length)
    const final = options.set_alpha_to_one ? 0 : vpSigma(bars, 0)
    const targets = timesteps.map((t) => (t >= hop ? vpSigma(bars, t - hop) : final))
    const clip = clipper(options)
    const { generator, eta } = run
    const both = run.useClippedModelOutput ? clip : (data: NdArray) => data
    return {
      timesteps,
      initialSigma: 1,
      data: (output, x, sigma) => both(toData(options.prediction_type, output, x, levelOf(vp, sigma))),
      sample: (denoise, x) =>
        ddim(
          denoise,
          x,
          timesteps.map((t) => vpSigma(bars, t)),
          { eta, generator, clip, targets },
        ),
    }
  },
})
