import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { maxDifference } from '../../../tests/fixture.ts'
import { CheckpointError } from '../../checkpoints/match.ts'
import { writeSafetensors } from '../../checkpoints/safetensors.ts'
import { input } from '../../core/tensor.ts'
import { t5Encoder as network, t5Config } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { Generator, NdArray } from '../../runtime/index.ts'
import type { Weights } from '../../runtime/weights.ts'
import { folderSource } from '../open/folder.ts'
import { t5Encoder, t5TextEncoder } from './t5-encoder.ts'

const fields = { d_model: 12, d_kv: 4, d_ff: 16, num_layers: 2, num_heads: 2, vocab_size: 704, feed_forward_proj: 'gated-gelu' }
const p = new Params()
network(p, t5Config(fields))(input('tokens', [1, 3], 'i64'))
const weights = p.initialise(new Generator(3))
const table = weights.get('shared.weight') as NdArray

/** A folder of a pipeline with these weights for its only text encoder. */
function opened(own: Weights, { className = 'T5EncoderModel', config = fields as object } = {}) {
  const dir = temporaryFolder()
  for (const name of ['text_encoder_3', 'tokenizer_3']) mkdirSync(join(dir, name))
  const index = {
    _class_name: 'SomePipeline',
    text_encoder_3: ['transformers', className],
    tokenizer_3: ['transformers', 'T5TokenizerFast'],
  }
  writeFileSync(join(dir, 'model_index.json'), JSON.stringify(index))
  writeFileSync(join(dir, 'text_encoder_3', 'config.json'), JSON.stringify(config))
  writeSafetensors(join(dir, 'text_encoder_3', 'model.safetensors'), own)
  const fixtures = new URL('../../../parity/fixtures/t5-tokenizer/', import.meta.url).pathname
  copyFileSync(join(fixtures, 'spiece.model'), join(dir, 'tokenizer_3', 'spiece.model'))
  return t5TextEncoder('tokenizer_3').open(folderSource(dir), 'text_encoder_3', {})
}

const encode = async (own: Weights, masked: boolean, text = 'a red fox', length = 12) => {
  const encoder = t5Encoder(await opened(own), {})
  const found = await encoder.encode(text, { length, masked })
  await encoder.release()
  return found
}

test('the token table stands under one name or the other, or both; a decoder beside is left aside', async () => {
  const rest = [...weights].filter(([key]) => key !== 'shared.weight')
  const expected = await encode(weights, true)
  const other = NdArray.full([4, 4], 1)
  for (const own of [
    [...rest, ['encoder.embed_tokens.weight', table]],
    [...rest, ['shared.weight', table], ['encoder.embed_tokens.weight', table]],
    [
      ...rest,
      ['shared.weight', table],
      ['decoder.embed_tokens.weight', table],
      ['decoder.block.0.x', other],
      ['lm_head.weight', other],
    ],
  ] as [string, NdArray][][]) {
    const found = await encode(new Map(own), true)
    expect(maxDifference(found.states, expected.states)).toBe(0)
  }
  await expect(async () => opened(new Map(rest))).rejects.toThrow(CheckpointError)
})

test('a mask hides padding; without one padding is attended to', async () => {
  const short = await encode(weights, true, 'a red fox', 10)
  const long = await encode(weights, true, 'a red fox', 20)
  const count = long.mask.data.reduce((n: number, one) => n + Number(one), 0)
  expect(count).toBeLessThan(10)
  expect(maxDifference(short.states.slice(1, 0, count), long.states.slice(1, 0, count))).toBeLessThan(1e-5)
  const plain = await encode(weights, false, 'a red fox', 20)
  expect(maxDifference(plain.states.slice(1, 0, count), long.states.slice(1, 0, count))).toBeGreaterThan(1e-3)
  expect(long.left).toBe(0)
  expect((await encode(weights, true, 'a red fox', 4)).left).toBe(count - 4)
})

test('a tokenizer of another model is named', async () => {
  const small = { ...fields, vocab_size: 30 }
  const own = new Map([...weights, ['shared.weight', table.slice(0, 0, 30)]]) as Weights
  const encoder = t5Encoder(await opened(own, { config: small }), {})
  await expect(encoder.encode('zebra fox', { length: 8, masked: true })).rejects.toThrow(/text_encoder_3 knows 30 tokens/)
  await encoder.release()
})

test('UMT5 opens by its own class, with a table of positions in each layer', async () => {
  const config = { ...fields, model_type: 'umt5' }
  const own = new Params()
  network(own, t5Config(config))(input('tokens', [1, 3], 'i64'))
  const drawn = own.initialise(new Generator(4))
  const tables = [...drawn.keys()].filter((key) => key.includes('relative_attention_bias'))
  expect(tables.length).toBe(2)
  const encoder = t5Encoder(await opened(drawn, { className: 'UMT5EncoderModel', config }), {})
  const found = await encoder.encode('a red fox', { length: 12, masked: true })
  expect([found.states.shape, found.mask.shape]).toEqual([
    [1, 12, 12],
    [1, 12],
  ])
  await encoder.release()
  await expect(async () => opened(drawn, { className: 'CLIPTextModel', config })).rejects.toThrow(
    /text_encoder_3: is CLIPTextModel/,
  )
})
