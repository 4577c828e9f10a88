import { expect, test } from 'vitest'
import { betaSchedule } from '../../../diffusion/index.ts'
import { Generator } from '../../../runtime/random.ts'
import { parseRecipe, prepare } from '../../open.ts'
import { noising, spreadTimes } from './noise.ts'
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

const data = { kind: 'scenes', styles: ['noto'] }

test('times of a batch are evenly spread, each over all of them', () => {
  const generator = new Generator(0)
  const batches = Array.from({ length: 400 }, () => spreadTimes(generator, 1000, 4))
  for (const batch of batches) {
    const sorted = [...batch].sort((a, b) => a - b)
    expect(sorted.slice(1).map((time, i) => time - (sorted[i] as number))).toEqual([250, 250, 250])
  }
  const first = batches.map(([time]) => time as number)
  expect(Math.min(...first)).toBeLessThan(20)
  expect(Math.max(...first)).toBeGreaterThan(979)
})

test('biased times: the range as often as told, every other time as often as the next', () => {
  const generator = new Generator(0)
  const times = Array.from({ length: 2000 }, () => spreadTimes(generator, 10, 5, { begin: 4, end: 6, multiplier: 6 })).flat()
  const share = (time: number) => times.filter((t) => t === time).length / times.length
  for (let time = 0; time < 10; time++) expect(share(time), String(time)).toBeCloseTo(time === 4 || time === 5 ? 0.3 : 0.05, 2)
})

test('layouts are for a text encoder that learns', async () => {
  const t2i = { recipe: 'text-to-image', data, unet: {}, layout_weight: 1 }
  await expect(prepare(parseRecipe(t2i, 'layouts'))).rejects.toThrow('add train_text_encoder')
})

test('a bias outside the timesteps is refused', async () => {
  const t2i = (begin: number, end: number) => ({
    recipe: 'text-to-image',
    data,
    unet: {},
    timestep_bias: [{ begin, end, multiplier: 2 }],
  })
  await expect(prepare(parseRecipe(t2i(400, 1001), 'bias'))).rejects.toThrow('400 to 1001 is no range of 1000 timesteps')
  await expect(prepare(parseRecipe(t2i(900, 400), 'bias'))).rejects.toThrow('900 to 400 is no range of 1000 timesteps')
  const twice = { ...t2i(0, 500), timestep_bias: [t2i(0, 500), t2i(500, 1000)].flatMap((one) => one.timestep_bias) }
  await expect(prepare(parseRecipe(twice, 'bias'))).rejects.toThrow('in the order of their steps')
})
