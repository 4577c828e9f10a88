import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../../tests/fixture.ts'
import { type Described, keysOf, relativeDifference, weightsOf } from '../../../tests/networks.ts'
import { ArgumentError, ShapeError } from '../../core/errors.ts'
import { grad } from '../../core/grad.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { evaluate } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { ModelConfigError } from '../config.ts'
import {
  clip,
  clipConfig,
  clipText,
  clipTextConfig,
  clipTextWithProjection,
  clipVisionConfig,
  clipVisionWithProjection,
  contrastiveLoss,
  isClipBuffer,
  renameClipText,
  renameClipVision,
} from './index.ts'

const transformers = fixture('clip')
const seed = Number(transformers.metadata.seed)
const cases: Record<'text' | 'vision' | 'both' | 'published', Record<string, Described & { projection?: boolean }>> = JSON.parse(
  transformers.metadata.cases as string,
)
const value = (name: string) => tensorOf(transformers, name)
const feeds = {
  tokens: value('tokens').cast('i64'),
  mask: value('mask').cast('i64'),
  images: value('images'),
} as Record<string, NdArray>
const symbols = Object.fromEntries(Object.entries(feeds).map(([name, { shape, dtype }]) => [name, input(name, shape, dtype)]))
const { tokens, mask, images } = symbols as Record<'tokens' | 'mask' | 'images', Tensor>

/** Runs a network with the fixture's weights, and holds every output against the fixture's of that name. */
async function agree(prefix: string, p: Params, outputs: Record<string, Tensor>, names: readonly string[]) {
  const given = Object.fromEntries(Object.entries(feeds).filter(([name]) => names.includes(name)))
  const found = await evaluate({ outputs, weights: weightsOf(p, seed) }, given, { threads: 1 })
  const errors = Object.keys(outputs).map((name) => [name, relativeDifference(found[name], value(`${prefix}.${name}`))] as const)
  expect(errors.filter(([, error]) => !(error <= 1e-4))).toEqual([])
}

const expected = (prefix: string) =>
  [...transformers.tensors.keys()].filter((key) => key.startsWith(`${prefix}.`)).map((key) => key.slice(prefix.length + 1))

test.each(Object.entries(cases.text))(
  'text, %s: every output agrees with transformers, with and without a mask',
  async (name, c) => {
    const config = clipTextConfig(c.config)
    for (const kind of ['plain', 'masked'] as const) {
      const p = new Params()
      const output = clipTextWithProjection(p, config)(tokens, kind === 'masked' ? mask : undefined)
      const { config: _, ...keys } = c
      expect(keysOf(p)).toEqual(keys)
      const outputs = {
        last: output.lastHiddenState,
        pooled: output.pooled,
        embeds: output.textEmbeds,
        'normed 1': output.layer(1, { norm: true }),
        ...Object.fromEntries(output.hiddenStates.map((state, i) => [`hidden ${i}`, state])),
      }
      expect(Object.keys(outputs).sort()).toEqual(expected(`text ${name} ${kind}`).sort())
      await agree(`text ${name} ${kind}`, p, outputs, kind === 'masked' ? ['tokens', 'mask'] : ['tokens'])
    }
  },
)

test('an older config pools at the greatest token, a newer one at the first end token', () => {
  const [older, newer] = ['legacy', 'quick'].map((name) => value(`text ${name} plain.embeds`)) as [NdArray, NdArray]
  const row = (x: NdArray, i: number) => [...x.cast('f32').data.slice(i * 12, (i + 1) * 12)]
  expect(row(older, 0)).toEqual(row(newer, 0))
  expect(row(older, 2)).not.toEqual(row(newer, 2))
})

test.each(Object.entries(cases.vision))('vision, %s: every output agrees with transformers', async (name, c) => {
  const p = new Params()
  const output = clipVisionWithProjection(p, clipVisionConfig(c.config))(images)
  const { config: _, ...keys } = c
  expect(keysOf(p)).toEqual(keys)
  const outputs = {
    last: output.lastHiddenState,
    pooled: output.pooled,
    embeds: output.imageEmbeds,
    ...Object.fromEntries(output.hiddenStates.map((state, i) => [`hidden ${i}`, state])),
  }
  expect(Object.keys(outputs).sort()).toEqual(expected(`vision ${name}`).sort())
  await agree(`vision ${name}`, p, outputs, ['images'])
})

test.each(Object.entries(cases.both))(
  'both halves, %s: scores, loss and every gradient agree with transformers',
  async (name, c) => {
    const p = new Params()
    const { logits, textEmbeds, imageEmbeds } = clip(p, clipConfig(c.config))(tokens, images)
    const { config: _, ...keys } = c
    expect(keysOf(p)).toEqual(keys)
    const loss = contrastiveLoss(logits)
    const wrt = [...p.tensors.keys()]
    const gradients = grad(loss, [...p.tensors.values()])
    const outputs = { logits, loss, textEmbeds, imageEmbeds } as Record<string, Tensor>
    const shifts = wrt.filter((key) => key.endsWith('k_proj.bias'))
    for (const [i, key] of wrt.entries()) if (!shifts.includes(key)) outputs[`grad ${key}`] = gradients[i] as Tensor
    // A constant added to every key leaves the softmax alone: that gradient is zero but for rounding, in both.
    expect(Object.keys(outputs).length + shifts.length).toBe(expected(`both ${name}`).length)
    await agree(`both ${name}`, p, outputs, ['tokens', 'images'])
  },
)

test('the scale stops where it is told to', async () => {
  const config = clipConfig({ ...(cases.both.quick?.config as object), logit_scale_init_value: 3 })
  const p = new Params()
  const logits = (maxScale?: number) => clip(p, config, maxScale === undefined ? {} : { maxScale })(tokens, images).logits
  const outputs = { free: logits(), kept: logits(10) }
  const weights = p.initialise(new Generator(0))
  const { free, kept } = (await evaluate({ outputs, weights }, { tokens: feeds.tokens!, images: feeds.images! })) as Record<
    'free' | 'kept',
    NdArray
  >
  expect(weights.get('logit_scale')?.item()).toBe(3)
  expect(relativeDifference(kept.cast('f32').mul(Math.exp(3) / 10), free)).toBeLessThan(1e-5)
})

test.each(Object.entries(cases.published))('%s has the keys, shapes and parameters of transformers', (_, described) => {
  const { config, projection, ...keys } = described
  const p = new Params()
  const fields = clipTextConfig(config)
  if (projection) clipTextWithProjection(p, fields)
  else clipText(p, fields)
  expect(keysOf(p)).toEqual(keys)
})

test("the text encoders of Stable Diffusion 1.5, 2.1 and XL have their published sizes; XL's first is 1.5's", () => {
  expect(Object.values(cases.published).map(({ parameters }) => parameters)).toEqual([123_060_480, 340_387_840, 694_659_840])
})

test('a config is read from either half or both, and refused with every fault', () => {
  const text = { hidden_size: 24, num_attention_heads: 3 }
  const both = { model_type: 'clip', text_config: text, vision_config: { patch_size: 16 }, torch_dtype: 'float32' }
  expect(clipTextConfig(both)).toEqual(
    clipTextConfig({ ...text, model_type: 'clip_text_model', architectures: ['CLIPTextModel'] }),
  )
  expect(clipConfig(both)).toMatchObject({ projection_dim: 512, text_config: text, vision_config: { patch_size: 16 } })
  expect(clipTextConfig({ ...both, text_config_dict: { hidden_size: 12 } }).hidden_size).toBe(12)
  expect(clipTextConfig({ text_config_dict: null, hidden_size: 32 }).hidden_size).toBe(32)
  const faults = (call: () => unknown) => {
    try {
      call()
    } catch (error) {
      return (error as ModelConfigError).faults.map(({ field }) => field)
    }
  }
  expect(faults(() => clipTextConfig({ hidden_act: 'swish', num_hidden_layers: 0 }))).toEqual(['num_hidden_layers', 'hidden_act'])
  expect(faults(() => clipTextConfig({ hidden_size: 30 }))).toEqual(['num_attention_heads'])
  expect(faults(() => clipVisionConfig({ image_size: 8 }))).toEqual(['patch_size'])
  expect(faults(() => clipTextConfig({ model_type: 't5' }))).toEqual(['model_type'])
  expect(() => clipConfig('clip')).toThrow(ModelConfigError)
})

test('a call that does not fit says what would', () => {
  const fields = cases.text.quick?.config
  const text = clipText(new Params(), clipTextConfig(fields))
  expect(() => text(input('tokens', [1, 11], 'i64'))).toThrow('11 tokens, and the model has places for 10')
  expect(() => text(tokens, input('mask', [3, 6], 'i64'))).toThrow(ShapeError)
  expect(() => text(tokens).layer(4, { norm: false })).toThrow(ArgumentError)
  expect(() => text(tokens).layer(-1, { norm: false })).toThrow(ArgumentError)
  const vision = clipVisionWithProjection(new Params(), clipVisionConfig(cases.vision.quick?.config))
  expect(() => vision(input('images', [1, 3, 8, 8]))).toThrow('expected H = 10')
})

test('keys of every layout become those of published checkpoints', () => {
  expect(renameClipText('encoder.layers.0.mlp.fc1.bias')).toBe('text_model.encoder.layers.0.mlp.fc1.bias')
  expect(renameClipText('text_model.final_layer_norm.bias')).toBe('text_model.final_layer_norm.bias')
  expect(renameClipVision('pre_layrnorm.weight')).toBe('vision_model.pre_layrnorm.weight')
  expect(['text_model.embeddings.position_ids', 'embeddings.position_ids'].every(isClipBuffer)).toBe(true)
  expect(isClipBuffer('text_model.embeddings.position_embedding.weight')).toBe(false)
})
