import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import {
  type TransformerCase,
  transformerCases,
  transformerCheckpoint,
  transformerPictures,
} from '../../../tests/transformers.ts'
import { loadConfig, openWeights, readTensor, saveModel, writeSafetensors } from '../../checkpoints/index.ts'
import { LangevinError } from '../../core/errors.ts'
import { imagesOf, toPixels } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import type { FileTensor } from '../../runtime/weights.ts'
import { finish, loadPipeline, type Pipeline, type Result } from '../index.ts'
import { classOf, labelsOf } from './labels.ts'

const levels = (result: Result): NdArray[] => {
  if (result.type !== 'pictures') throw new Error(`no pictures but ${result.type}`)
  return imagesOf(result.pictures).map((image) => toPixels(image))
}
/** The largest difference in levels from diffusers' pictures, of which only every so manieth pixel may be known. */
function difference(pictures: readonly NdArray[], { expected, every = 1 }: TransformerCase): number {
  expect(pictures.length).toBe(expected.length)
  const far = pictures.map((picture, k) => {
    const known = transformerPictures.tensors.get(expected[k] as string) as NdArray
    const [H, W] = known.shape as [number, number, number]
    expect(picture.shape).toEqual([H * every, W * every, 3])
    let most = 0
    for (let y = 0; y < H; y++)
      for (let x = 0; x < W * 3; x++) {
        const at = (y * every * W * every + Math.floor(x / 3) * every) * 3 + (x % 3)
        most = Math.max(most, Math.abs((picture.data[at] as number) - (known.data[y * W * 3 + x] as number)))
      }
    return most
  })
  return Math.max(...far)
}

const scratch = mkdtempSync(join(tmpdir(), 'langevin-transformers-'))
const opened = new Map<string, Promise<Pipeline>>()
afterAll(async () => {
  for (const pipeline of opened.values()) await (await pipeline).release()
  rmSync(scratch, { recursive: true })
})
function pipelineOf(checkpoint: string): Promise<Pipeline> {
  const known = opened.get(checkpoint) ?? loadPipeline(transformerCheckpoint(checkpoint, scratch), { threads: 1 })
  opened.set(checkpoint, known)
  return known
}

test.each(transformerCases.map((one) => [one.name, one] as const))(
  'the pictures of diffusers: %s',
  { timeout: 60_000 },
  async (_, one) => {
    const pipeline = await pipelineOf(one.checkpoint)
    const options = { ...one.options, ...(one.scheduler && { scheduler: one.scheduler }) }
    const plan = pipeline.plan(options)
    expect(plan.settings).toMatchObject({ Steps: one.options.steps })
    const seen: number[] = []
    const result = await finish(pipeline.generate(options), ({ done, total }) => seen.push(done / total))
    expect(seen.at(-1)).toBe(1)
    expect(difference(levels(result), one)).toBeLessThanOrEqual(1)
  },
)

test('previews on the way; a signal ends a run', async () => {
  const pipeline = await pipelineOf('dit')
  const stop = new AbortController()
  const run = pipeline.generate({ label: 'goldfish', steps: 4, signal: stop.signal })
  const first = await run.next()
  if (first.done) throw new Error('no step')
  expect((await first.value.preview()).type).toBe('pictures')
  stop.abort(new Error('enough'))
  await expect(run.next()).rejects.toThrow('enough')
})

test('published folders name the class that the network had before', async () => {
  const dir = transformerCheckpoint('dit')
  const edit = (file: string, change: (fields: Record<string, unknown>) => object) => {
    const fields = JSON.parse(readFileSync(join(dir, file), 'utf8'))
    writeFileSync(join(dir, file), JSON.stringify(change(fields)))
  }
  edit('model_index.json', (fields) => ({ ...fields, transformer: ['diffusers', 'Transformer2DModel'] }))
  const former = { attention_type: 'default', num_vector_embeds: null, only_cross_attention: false, use_linear_projection: false }
  edit('transformer/config.json', (fields) => ({ ...fields, ...former, _class_name: 'Transformer2DModel' }))
  const pipeline = await loadPipeline(dir, { threads: 1 })
  const one = transformerCases[0] as TransformerCase
  expect(difference(levels(await finish(pipeline.generate(one.options))), one)).toBeLessThanOrEqual(1)
  await pipeline.release()
  edit('transformer/config.json', (fields) => ({ ...fields, norm_type: 'layer_norm' }))
  await expect(loadPipeline(dir)).rejects.toThrow(/config\.json.*_class_name: is "Transformer2DModel"/s)
})

test('classes by name, by synonym, by number', () => {
  const labels = labelsOf({ 0: 'tench, Tinca tinca', 1: 'crane', 2: 'crane' }, 5, 'x')
  expect([...['tench', 'Tinca tinca', 'crane', '4', 3]].map((one) => classOf(one, labels))).toEqual([0, 0, 2, 4, 3])
  expect(classOf('tench, Tinca tinca', labels)).toBe(0)
  expect(() => classOf('Tinca', labels)).toThrow(/"Tinca" is no class; give a number from 0 to 4, or a name: Tinca tinca$/)
  expect(() => classOf(5, labels)).toThrow(/5 is no class/)
  expect(() => classOf(-1, labels)).toThrow(/-1 is no class/)
  const stickers = labelsOf(
    { 0: 'red fox in flat style, flat red fox', 1: 'fox in 3d style, 3d fox', 2: 'fox in flat style' },
    1000,
    'x',
  )
  expect(['3d fox', 'fox, 3d style', '3D, Fox', 'red fox, flat'].map((one) => classOf(one, stickers))).toEqual([1, 1, 1, 0])
  for (const label of ['fox, flat style', 'fox, noto style', 'fox,', 'ox, 3d'])
    expect(() => classOf(label, stickers)).toThrow(/is no class/)
  expect(() => classOf('fox', labelsOf(undefined, 5, 'x'))).toThrow(/names none: give a number from 0 to 4/)
  expect(() => labelsOf(['tench'], 5, 'x/model_index.json')).toThrow(/model_index\.json: id2label: must be an object/)
  expect(() => labelsOf({ a: 'tench' }, 5, 'x')).toThrow(/id2label\.a/)
})

test('adapters with the keys of PEFT change the transformer, and the text encoder of PixArt', async () => {
  for (const [name, options, modules] of [
    ['dit', { label: [1] }, ['transformer_blocks.0.attn1.to_q']],
    [
      'pixart-sigma',
      { prompt: 'a fox', width: 32, height: 32 },
      ['transformer.transformer_blocks.1.attn2.to_k', 'text_encoder.encoder.block.0.layer.0.SelfAttention.v'],
    ],
  ] as const) {
    const dir = transformerCheckpoint(name)
    const made = async (loras?: object) => {
      const pipeline = await loadPipeline(dir, { threads: 1, ...loras })
      const result = await finish(pipeline.generate({ ...options, steps: 2, seed: 1 }))
      await pipeline.release()
      return levels(result)[0] as NdArray
    }
    const folded: Record<string, Map<string, NdArray>> = {}
    const file = join(dir, 'lora.safetensors')
    const generator = new Generator(4)
    const tensors = modules.flatMap((module) => {
      const [, component = 'transformer', own = module] = /^(transformer|text_encoder)\.(.*)$/.exec(module) ?? []
      const weights =
        folded[component] ?? new Map([...openWeights(join(dir, component))].map(([key, one]) => [key, inFloat(one)]))
      const base = weights.get(`${own}.weight`) as NdArray
      const [rows, columns] = base.shape as [number, number]
      const [a, b] = [generator.randn([1, columns]), generator.randn([rows, 1])]
      weights.set(`${own}.weight`, base.add(b.mul(a)))
      folded[component] = weights
      return [[`base_model.model.${module}.lora_A.weight`, a] as const, [`base_model.model.${module}.lora_B.weight`, b] as const]
    })
    writeSafetensors(file, tensors)
    const [before, merged] = [await made(), await made({ loras: [{ file }] })]
    for (const [component, weights] of Object.entries(folded))
      saveModel(join(dir, component), loadConfig(join(dir, component)), weights)
    expect(maxDifference(merged, await made())).toBeLessThanOrEqual(1)
    expect(maxDifference(merged, before)).toBeGreaterThan(3)
  }
})
const inFloat = (one: NdArray | FileTensor): NdArray => (one instanceof NdArray ? one : readTensor(one)).cast('f32')

test.each([
  ['the network', 'dit', 'transformer/diffusion_pytorch_model.safetensors', undefined, /transformer/],
  ['a folder', 'dit', 'vae', undefined, /vae: no such folder/],
  ['the names', 'dit', 'model_index.json', { id2label: 7 }, /id2label: must be an object/],
  ['the channels', 'dit', 'transformer/config.json', { out_channels: 6 }, /transformer/],
  [
    'the size',
    'dit',
    'transformer/config.json',
    { sample_size: 7 },
    /sample_size is 7, which does not divide into patches of 2×2/,
  ],
  ['the tokenizer', 'pixart-sigma', 'tokenizer/spiece.model', undefined, /no spiece\.model/],
  ['the text encoder', 'pixart-sigma', 'text_encoder/config.json', { d_model: 20 }, /text_encoder/],
  ['the text width', 'pixart-sigma', 'transformer/config.json', { caption_channels: 12 }, /transformer/],
])('what is missing or damaged is one error: %s', async (_, name, file, fields, message) => {
  const dir = transformerCheckpoint(name)
  const path = join(dir, file)
  if (fields) writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...fields }))
  else rmSync(path, { recursive: true })
  const failed = await loadPipeline(dir).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(failed).toBeInstanceOf(LangevinError)
  expect((failed as Error).message).toMatch(message)
})

test('options that a model has no use for are refused', async () => {
  const [dit, sigma] = [await pipelineOf('dit'), await pipelineOf('pixart-sigma')]
  expect(() => dit.plan({ prompt: 'a fox', label: [1] })).toThrow(/prompt: no option here; it takes label, steps/)
  expect(() => dit.plan({})).toThrow(/label/)
  expect(() => dit.plan({ label: [] })).toThrow(/label/)
  expect(() => dit.plan({ label: ['unicorn'] })).toThrow(/"unicorn" is no class/)
  expect(dit.plan({ label: [1, 'crane'], num: 3 })).toMatchObject({ pictures: 6, settings: { Class: '1; crane (517)' } })
  expect(() => sigma.plan({ prompt: 'a', binning: false, width: 40 })).toThrow(/multiples of 16 without binning; got 40 × 256/)
  expect(sigma.plan({ prompt: 'a', width: 64, height: 48 }).settings).toMatchObject({ 'Made at': '288x208' })
})
