import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { finish, loadDdpm } from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { parseRecipe } from '../index.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-score-'))
afterAll(() => rmSync(desk, { recursive: true }))

const recipe = (weighting: string, more: object = {}) =>
  parseRecipe(
    {
      recipe: 'score',
      data: { kind: 'stickers', styles: ['flat'], categories: ['Food & Drink'] },
      resolution: 8,
      unet: {
        block_out_channels: [8, 16],
        layers_per_block: 1,
        norm_num_groups: 4,
        down_block_types: ['DownBlock2D', 'DownBlock2D'],
        up_block_types: ['UpBlock2D', 'UpBlock2D'],
        attention_head_dim: null,
      },
      weighting,
      ...more,
    },
    'test',
  )

test.each(['simple', 'likelihood'])('%s weighting: a batch is data noised to its times', async (weighting) => {
  const { task } = await recipe(weighting).job({ batchSize: 200, seed: 0 })
  const { x, t, target: noise } = (await task.batch(new Generator(0), 1)) as Record<'x' | 't' | 'target', NdArray>
  const times = Array.from(t.cast('f32').data, (v) => v / 999)
  expect(Math.min(...times)).toBeGreaterThanOrEqual(1e-3)
  expect(Math.max(...times)).toBeLessThanOrEqual(1)
  // Half of the likelihood's times are before ln(σ²/α²) has come half its way, at t = 0.12; of even times 12 in 100 are.
  const early = times.filter((time) => time < 0.12).length / 200
  expect(early).toBeGreaterThan(weighting === 'simple' ? 0.04 : 0.35)
  expect(early).toBeLessThan(weighting === 'simple' ? 0.22 : 0.7)
  for (const [i, time] of times.entries()) {
    const left = Math.exp(-(0.1 * time + (19.9 * time * time) / 2))
    const data = x
      .row(i)
      .sub(noise.row(i).mul(Math.sqrt(1 - left)))
      .div(Math.sqrt(left))
    if (time < 0.7) expect(data.abs().max().item()).toBeLessThan(1.01)
  }
})

test('a prediction of v has v as its target, from the same draws', async () => {
  const batch = async (prediction_type: string) =>
    (await (
      await recipe('simple', { prediction_type }).job({ batchSize: 4, seed: 0 })
    ).task.batch(new Generator(0), 1)) as Record<'x' | 't' | 'target', NdArray>
  const [{ x, t, target: noise }, { target: v }] = [await batch('epsilon'), await batch('v_prediction')]
  for (const [i, time] of Array.from(t.cast('f32').data, (value) => value / 999).entries()) {
    const alpha = Math.exp(-(0.1 * time + (19.9 * time * time) / 2) / 2)
    const sigma = Math.sqrt(1 - alpha * alpha)
    // ε = αv + σx.
    const found = v.row(i).mul(alpha).add(x.row(i).mul(sigma))
    expect(found.sub(noise.row(i)).abs().max().item()).toBeLessThan(1e-4)
  }
  await expect(recipe('likelihood', { prediction_type: 'v_prediction' }).job({ batchSize: 1, seed: 0 })).rejects.toThrow(
    'the weighting likelihood is of the noise',
  )
})

test('a trained folder is one that DDPM pipelines sample', async () => {
  const { task, save, preview } = await recipe('simple').job({ batchSize: 2, seed: 0 })
  const weights = task.params.initialise(new Generator(0))
  await save(weights, desk)
  const model = await loadDdpm(desk)
  expect(model.scheduler).toMatchObject({ beta_start: 1e-4, beta_end: 0.02, prediction_type: 'epsilon' })
  const pictures = await finish(model.sample({ num: 2, steps: 2, seed: 0 }))
  expect(pictures.shape).toEqual([2, 3, 8, 8])
  await model.release()
  const png = (await preview?.(weights)) as Uint8Array
  expect([...png.slice(1, 4)].map((byte) => String.fromCharCode(byte)).join('')).toBe('PNG')
})
