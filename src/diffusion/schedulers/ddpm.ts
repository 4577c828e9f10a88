import type { NdArray } from '../../runtime/ndarray.ts'
import { betaSchedule } from '../betas.ts'
import { levelOf, vp } from '../paths.ts'
import { type Prediction, toData, toNoise } from '../predictions.ts'
import { ddim } from '../samplers/ddim.ts'
import { ddpm, fixedLarge, fixedSmall, learnedRange, type ReverseStd } from '../samplers/ddpm.ts'
import { type Spacing, timestepsBySpacing, wholeTimesteps } from '../spacing.ts'
import { type RunOptions, spec } from './scheduler.ts'
import { alphaTable, betaOptions, clipOptions, clipper, halves, vpSigma } from './tables.ts'

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
  if (timesteps) return wholeTimesteps(timesteps, trainSteps)
  return timestepsBySpacing(options.timestep_spacing, steps as number, { trainSteps, offset })
}

type Variance = 'fixed_small' | 'fixed_small_log' | 'fixed_large' | 'fixed_large_log' | 'learned' | 'learned_range'

export const DDPMScheduler = spec({
  defaults: { ...shared, variance_type: 'fixed_small' as Variance },
  choices: { variance_type: ['fixed_small', 'fixed_small_log', 'fixed_large', 'fixed_large_log', 'learned', 'learned_range'] },
  accepts: ['timesteps'],
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

export const DDIMScheduler = spec({
  defaults: { ...shared, set_alpha_to_one: true },
  accepts: ['timesteps', 'eta', 'useClippedModelOutput'],
  plan: (options, run) => {
    const bars = alphaTable(options, options.rescale_betas_zero_snr)
    const all = chosen(options, run)
    const timesteps = all.slice(run.start)
    const hop = Math.floor(options.num_train_timesteps / all.length)
    const final = options.set_alpha_to_one ? 0 : vpSigma(bars, 0)
    // Even timesteps land a stride below themselves, as in diffusers; timesteps of one's own, which diffusers does not take, on the next.
    const landing = (t: number, i: number) => (run.timesteps ? (timesteps[i + 1] ?? -1) : t - hop)
    const targets = timesteps.map(landing).map((t) => (t >= 0 ? vpSigma(bars, t) : final))
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

/** Encodes data into the noise that DDIM would sample it from; `run` starts from data. */
export const DDIMInverseScheduler = spec({
  defaults: { ...shared, set_alpha_to_one: true },
  accepts: ['timesteps'],
  plan: (options, run) => {
    const bars = alphaTable(options, options.rescale_betas_zero_snr)
    const all = [...chosen(options, run)].reverse()
    const timesteps = all.slice(run.start)
    const hop = Math.floor(options.num_train_timesteps / all.length)
    const first = options.set_alpha_to_one ? 0 : vpSigma(bars, 0)
    const leaving = (t: number, i: number) => (run.timesteps ? (all[i + (run.start ?? 0) - 1] ?? -1) : t - hop)
    const sigmas = timesteps.map(leaving).map((t) => (t >= 0 ? vpSigma(bars, t) : first))
    const clip = clipper({ ...options, thresholding: false })
    // At σ = 0 the data says nothing of the noise, so it is read from the network's output.
    let output: NdArray
    return {
      timesteps,
      initialSigma: 1,
      data: (out, x, sigma) => {
        output = out
        return toData(options.prediction_type, out, x, levelOf(vp, sigma))
      },
      sample: (denoise, x) =>
        ddim(denoise, x, sigmas, {
          clip,
          targets: timesteps.map((t) => vpSigma(bars, t)),
          noiseOf: (now, _, level) => toNoise(options.prediction_type, output, now, level),
        }),
    }
  },
})

export const UnCLIPScheduler = spec({
  defaults: {
    num_train_timesteps: 1000,
    variance_type: 'fixed_small_log' as 'fixed_small_log' | 'learned_range',
    clip_sample: true,
    clip_sample_range: 1,
    prediction_type: 'epsilon' as Prediction,
    beta_schedule: 'squaredcos_cap_v2' as typeof betaOptions.beta_schedule,
  },
  choices: { variance_type: ['fixed_small_log', 'learned_range'], beta_schedule: ['squaredcos_cap_v2'] },
  accepts: ['timesteps'],
  plan: (options, run) => {
    const betas = betaSchedule(options.beta_schedule, { steps: options.num_train_timesteps })
    const bars = alphaTable({ ...betaOptions, ...options })
    const steps = {
      ...run,
      timesteps: run.timesteps ?? timestepsBySpacing('linspace', run.steps as number, { trainSteps: bars.length }),
    }
    const timesteps = chosen({ ...shared, ...options }, steps).slice(run.start)
    const clip = clipper({ ...clipOptions, ...options })
    const learned = options.variance_type === 'learned_range'
    let variance: NdArray
    return {
      timesteps,
      initialSigma: 1,
      data: (output, x, sigma) => {
        let mean = output
        if (learned) [mean, variance] = halves(output)
        return clip(toData(options.prediction_type, mean, x, levelOf(vp, sigma)))
      },
      async *sample(denoise, x) {
        const sampled = yield* ddpm(denoise, x, [...timesteps.map((t) => vpSigma(bars, t)), 0], {
          generator: run.generator,
          std: learned ? learnedRange(() => variance) : fixedSmall,
          noiseAtEnd: (timesteps.at(-1) as number) > 0,
        })
        // diffusers' step from t = 0 multiplies by β_1 / (1 − ᾱ_1) in float32, which is not quite 1.
        return timesteps.at(-1) === 0 ? sampled.mul((betas[0] as number) / Math.fround(1 - (bars[0] as number))) : sampled
      },
    }
  },
})

// The same numbers; diffusers' parallel classes only also step in batches.
export const DDPMParallelScheduler = DDPMScheduler
export const DDIMParallelScheduler = DDIMScheduler
