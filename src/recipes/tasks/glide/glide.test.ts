import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { finish, loadPipeline } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { runTraining } from '../../../training/run.ts'
import { parseRecipe, prepare } from '../../index.ts'
import { drawnMasks } from './masks.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-glide-'))
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))

const data = { kind: 'scenes', styles: ['noto'], nouns: ['fox', 'star', 'donut'], sizes: 'large' }
const network = {
  ...{ num_channels: 32, num_res_blocks: 1, channel_mult: [1, 1], num_head_channels: 16, attention_resolutions: [4] },
  ...{ text_ctx: 16, xf_width: 16, xf_layers: 1, xf_heads: 2 },
}
const training = {
  ...{ train_batch_size: 4, max_train_steps: 12, validation_steps: 100, learning_rate: 3e-3, lr_warmup_steps: 1, threads: 1 },
  ema_decay: 0,
}
const base = { recipe: 'glide', data, resolution: 8, network, pool: 16, tokenizer: { captions: 100, size: 300 } }
const clip = {
  ...{ recipe: 'glide-clip', data, resolution: 8 },
  network: {
    ...{ patch_size: 4, n_embd: 16, n_head_state_text: 8, n_head_text: 2, n_xf_blocks_text: 1 },
    ...{ n_head_state_image: 8, n_head_image: 2, n_xf_blocks_image: 1 },
  },
}

async function trained(name: string, recipe: object) {
  const { job, config } = await prepare(parseRecipe({ ...recipe, training }, name))
  const dir = join(desk, name)
  await runTraining(job, config, { dir, stream: { write: () => {} } })
  const rows = readFileSync(join(dir, 'log.csv'), 'utf8').trim().split('\n').slice(1)
  return { model: join(dir, 'model'), losses: rows.map((row) => Number(row.split(',')[1])) }
}
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length

test('GLIDE learns, goes on to in-painting, and is guided by a noised CLIP of its own', { timeout: 240_000 }, async () => {
  const first = await trained('base', base)
  expect(mean(first.losses.slice(-4))).toBeLessThan(mean(first.losses.slice(0, 2)))
  const filling = await trained('filling', { ...base, network: undefined, pretrained: first.model, inpaint: true })
  const { model } = await trained('clip', { ...clip, glide: filling.model })
  for (const file of ['base', 'base_inpaint', 'clip_image_enc', 'clip_text_enc'])
    expect(existsSync(join(model, `${file}.safetensors`)), file).toBe(true)

  const pipeline = await loadPipeline(model, { threads: 1 })
  expect(pipeline.className).toBe('GLIDE')
  const made = async (options: Record<string, unknown>) => {
    const found = await finish(pipeline.generate({ prompt: 'a fox', steps: 3, seed: 1, ...options }))
    if (found.type !== 'pictures') throw new Error(found.type)
    expect([found.pictures.shape, found.pictures.allFinite()]).toEqual([[1, 3, 8, 8], true])
    return found.pictures
  }
  const plain = await made({})
  expect(maxDifference(await made({}), plain)).toBe(0)
  expect(maxDifference(await made({ prompt: 'two stars' }), plain)).toBeGreaterThan(1e-6)
  const unguided = await made({ guidance: 1 })
  expect(maxDifference(await made({ guidance: 1, clipGuidance: 50 }), unguided)).toBeGreaterThan(1e-6)
  // What is black in the mask stays.
  const image = new Generator(2).randn([3, 8, 8]).mul(0.3).clamp(-1, 1)
  const mask = NdArray.from(
    Array.from({ length: 64 }, (_, i) => (i % 8 < 4 ? -1 : 1)),
    [1, 8, 8],
  )
  const filled = await made({ image, mask })
  expect(maxDifference(filled.slice(3, 0, 4), image.reshape([1, 3, 8, 8]).slice(3, 0, 4))).toBeLessThan(0.02)
  await pipeline.release()
})

test('in-painting starts from a network of text alone as if nothing were known', async () => {
  const { model } = await trained('start', { ...base, tokenizer: { captions: 50, size: 280 } })
  const { job } = await prepare(parseRecipe({ ...base, network: undefined, pretrained: model, inpaint: true }, 'more'))
  const weight = job.task.start?.get('input_blocks.0.0.weight') as NdArray
  expect([weight.shape, weight.slice(1, 3).abs().max().item()]).toEqual([[32, 7, 3, 3], 0])
})

test('masks hide a rectangle, or everything', () => {
  const masks = drawnMasks(new Generator(0), 40, 8)
  const known = Array.from({ length: 40 }, (_, i) =>
    masks
      .slice(0, i, i + 1)
      .sum()
      .item(),
  )
  expect(known.filter((count) => count === 0).length).toBeGreaterThan(2)
  expect(Math.max(...known)).toBeLessThanOrEqual(60)
  expect(Math.max(...known)).toBeGreaterThan(20)
})
