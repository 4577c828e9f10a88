import { expect, test } from 'vitest'
import { betaSchedule } from '../../../diffusion/index.ts'
import { noising } from './noise.ts'
import { textToImageSchema } from './schema.ts'

test("min-SNR weighs as diffusers' examples do: min(SNR, γ) over SNR for the noise, over SNR + 1 for v", () => {
  const betas = betaSchedule('scaled_linear', { steps: 1000, start: 0.00085, end: 0.012 })
  const alphas: number[] = []
  for (const beta of Array.from(betas as Iterable<number>)) alphas.push((alphas.at(-1) ?? 1) * (1 - beta))
  for (const [prediction_type, more] of [
    ['epsilon', 0],
    ['v_prediction', 1],
  ] as const) {
    const recipe = {
      data: { kind: 'scenes' },
      unet: {},
      scheduler: { beta_schedule: 'scaled_linear', prediction_type },
      snr_gamma: 5,
    }
    const { weightAt } = noising(textToImageSchema.parse(recipe))
    for (const t of [0, 100, 300, 500, 999]) {
      const a = alphas[t] as number
      const snr = a / (1 - a)
      expect(weightAt(t) / (Math.min(snr, 5) / (snr + more))).toBeCloseTo(1, 3)
    }
  }
})
