import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../../tests/fixture.ts'
import { type Described, disagreements, keysOf } from '../../../tests/networks.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { relativeBucket } from '../../nn/relative-bias.ts'
import { ModelConfigError } from '../config.ts'
import { renameT5, t5, t5Config, t5Encoder } from './index.ts'

const transformers = fixture('t5')
type Case = Described & { readonly class: string }
const cases: Record<string, Case> = JSON.parse(transformers.metadata.cases as string)
const published: Record<string, Case> = JSON.parse(transformers.metadata.published as string)
const isEncoder = (one: Case) => one.class.endsWith('EncoderModel')

test.each(Object.entries({ ...cases, ...published }))('%s has the keys, shapes and parameters of transformers', (_, one) => {
  const { config, class: _class, ...keys } = one
  const p = new Params()
  if (isEncoder(one)) t5Encoder(p, t5Config(config))
  else t5(p, t5Config(config))
  expect(keysOf(p)).toEqual(keys)
})

test('the published encoders have their published sizes', () => {
  expect(published['t5-v1_1-xxl']?.parameters).toBe(4_762_310_656)
  expect(published['flan-t5-base']?.parameters).toBe(247_577_856)
})

test.each(Object.entries(cases))('%s: states, logits and gradients agree with transformers', async (name, one) => {
  const p = new Params()
  const config = t5Config(one.config)
  const given = (key: string) => input(key, tensorOf(transformers, `${name}.${key}`).shape, 'i64')
  const [tokens, mask, target] = [given('tokens'), given('mask'), given('target')]
  const outputs: Record<string, Tensor> = {}
  if (isEncoder(one)) {
    const encode = t5Encoder(p, config)
    Object.assign(outputs, { states: encode(tokens, mask), plain: encode(tokens) })
  } else {
    const { encode, decode, logits } = t5(p, config)
    const states = encode(tokens, mask)
    Object.assign(outputs, { states, logits: logits(decode(target, { context: states, contextMask: mask })) })
  }
  const symbols = new Map(Object.entries({ tokens, mask, ...(isEncoder(one) ? {} : { target }) }))
  expect(await disagreements(transformers, name, { p, symbols, outputs })).toEqual([])
})

test.each([true, false])('distances fall into the buckets of transformers (both directions: %s)', (both) => {
  const expected = tensorOf(transformers, `buckets ${both ? 'both' : 'before'}`)
  const found = Array.from({ length: 601 }, (_, i) => relativeBucket(i - 300, { bidirectional: both }))
  expect(found).toEqual(Array.from(expected.data, Number))
})

test('configs of whole checkpoints are read, and what cannot be followed is named', () => {
  expect(t5Config({ architectures: ['T5EncoderModel'], d_model: 8, feed_forward_proj: 'gated-gelu' }).d_model).toBe(8)
  expect(() => t5Config({ feed_forward_proj: 'gated-tanh' }, 'x/config.json')).toThrow(ModelConfigError)
  expect(() => t5Config({ feed_forward_proj: 'gated-tanh' }, 'x/config.json')).toThrow(/x\/config\.json.*\n {2}feed_forward_proj/)
  expect(renameT5('encoder.embed_tokens.weight')).toBe('shared.weight')
})
