import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../../tests/fixture.ts'
import { type Described, disagreements, keysOf, weightsOf } from '../../../tests/networks.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { compile, evaluate } from '../../runtime/program.ts'
import {
  attentionMask,
  chooseTokens,
  dalle,
  dalleConfig,
  dalleLoss,
  lengthsOf,
  paperAttention,
  paperFields,
  renameDalle,
  textInput,
} from './index.ts'

const reference = fixture('dalle')
const cases: Record<string, Described> = JSON.parse(reference.metadata.cases as string)
const transformers = ['rotary', 'sparse', 'plain', 'stable', 'reversible', 'paper']

const tokensOf = (name: string, key: string) => reference.tensors.get(`${name}.${key}`) as NdArray<'i64'>

function opened(name: string) {
  const { config: fields, ...keys } = cases[name] as Described
  const config = dalleConfig(fields)
  const p = new Params()
  const network = dalle(p, config)
  const symbols = new Map(['text tokens', 'image tokens'].map((key) => [key, input(key, tokensOf(name, key).shape, 'i64')]))
  return {
    config,
    p,
    network,
    keys,
    symbols,
    text: symbols.get('text tokens') as Tensor,
    image: symbols.get('image tokens') as Tensor,
  }
}

test.each(transformers)('%s: keys, logits and gradients agree with the reference', async (name) => {
  const { config, p, network, keys, symbols, text, image } = opened(name)
  expect(keysOf(p)).toEqual(keys)
  const { hidden } = network.whole(text, image)
  const words = config.text_seq_len
  const outputs = { text: network.textLogits(hidden.slice(1, 0, words)), image: network.imageLogits(hidden.slice(1, words)) }
  expect(await disagreements(reference, name, { p, symbols, outputs })).toEqual([])
})

test.each(transformers.slice(0, -1))('%s: the loss, and logits of the first tokens, agree', async (name) => {
  const { config, p, network, text, image } = opened(name)
  const part = network.whole(text, image.slice(1, 0, 5))
  const some = network.imageLogits(part.hidden.slice(1, config.text_seq_len))
  const { loss } = dalleLoss(network, config, text, image)
  const feeds = { 'text tokens': tokensOf(name, 'text tokens'), 'image tokens': tokensOf(name, 'image tokens') }
  const found = await evaluate({ outputs: { some, loss }, weights: weightsOf(p, 0) }, feeds)
  expect(maxDifference(found.some as NdArray, tensorOf(reference, `${name}.some`))).toBeLessThan(1e-4)
  expect(Math.abs((found.loss as NdArray).item() - tensorOf(reference, `${name}.loss`).item())).toBeLessThan(1e-5)
})

test.each(transformers)('%s: a token at a time, with what came before kept, gives the same logits', async (name) => {
  const { config, p, network, text, image } = opened(name)
  const { inputs, text: words } = lengthsOf(config)
  const { heads, dim_head: width, depth, dim, shift_tokens: shifts, image_fmap_size: side } = config
  const whole = network.whole(text, image)
  const weights = weightsOf(p, 0)
  const remembered = Object.fromEntries(
    (['keys', 'values', 'shifts'] as const).flatMap((what) => whole.remembered[what].map((value, i) => [`${what} ${i}`, value])),
  )
  const feeds = { 'text tokens': tokensOf(name, 'text tokens'), 'image tokens': tokensOf(name, 'image tokens') }
  const all = await evaluate(
    { outputs: { logits: network.imageLogits(whole.hidden.slice(1, words)), ...remembered }, weights },
    feeds,
  )
  const layers = Array.from({ length: depth }, (_, i) => i)
  const branches = shifts ? Array.from({ length: 2 * depth }, (_, i) => i) : []
  const past = {
    keys: layers.map((i) => input(`keys ${i}`, [2, heads, inputs, width])),
    values: layers.map((i) => input(`values ${i}`, [2, heads, inputs, width])),
    shifts: branches.map((i) => input(`shifts ${i}`, [2, 1, dim / 2])),
  }
  const step = network.step(input('token', [2], 'i64'), input('at', [1], 'i64'), past)
  const program = await compile(
    { outputs: { logits: network.imageLogits(step.hidden), keys: step.remembered.keys[0] as Tensor }, weights },
    { threads: 1 },
  )
  for (const at of [0, 1, side - 1, side, side * side - 2]) {
    const before = words + at
    const history = (key: string) => all[key] as NdArray<'f32'>
    // What comes later is not there yet.
    const padded = (x: NdArray<'f32'>) =>
      NdArray.concat([x.slice(1, 0, before), NdArray.zeros([2, inputs - before, x.shape[2] as number])], 1)
    const split = (x: NdArray<'f32'>) => padded(x).reshape([2, inputs, heads, width])
    const shiftOf = (x: NdArray<'f32'>) => {
      const nothing = NdArray.zeros([2, 1, dim / 4])
      const above = at < side ? nothing : x.slice(1, before - side, before - side + 1).slice(2, 0, dim / 4)
      const left = at % side === 0 ? nothing : x.slice(1, before - 1, before).slice(2, dim / 4)
      return NdArray.concat([above, left], 2)
    }
    const found = await program.run({
      token: tokensOf(name, 'image tokens')
        .slice(1, at, at + 1)
        .reshape([2]),
      at: new NdArray(BigInt64Array.of(BigInt(at)), [1], 'i64'),
      ...Object.fromEntries(layers.map((i) => [`keys ${i}`, split(history(`keys ${i}`)).permute([0, 2, 1, 3])])),
      ...Object.fromEntries(layers.map((i) => [`values ${i}`, split(history(`values ${i}`)).permute([0, 2, 1, 3])])),
      ...Object.fromEntries(branches.map((i) => [`shifts ${i}`, shiftOf(history(`shifts ${i}`))])),
    })
    expect(maxDifference(found.logits as NdArray, history('logits').slice(1, at, at + 1)), `token ${at}`).toBeLessThan(2e-5)
    expect(maxDifference(found.keys as NdArray, history('keys 0').slice(1, before, before + 1))).toBeLessThan(2e-5)
  }
  await program.release()
})

test('the masks are those of the paper, and as its figure 11 has them', () => {
  for (const [type, side, kernel] of [
    ['row', 4, 3],
    ['column', 4, 3],
    ['conv', 4, 3],
    ['conv', 32, 11],
    ['row', 32, 11],
    ['column', 32, 11],
  ] as const) {
    const { seen, sha256 } = cases[`mask ${type} ${side}`] as unknown as { seen: number; sha256: string }
    const mask = attentionMask(type, 6 + side * side, { text: 6, side, kernel })
    expect(mask.reduce((a, b) => a + b)).toBe(seen)
    expect(createHash('sha256').update(mask).digest('hex'), type).toBe(sha256)
  }
  // Its last image token of a 4×4 grid, after 6 text tokens: five tokens in raster order, or its column.
  const last = (type: 'row' | 'column') =>
    [...attentionMask(type, 22, { text: 6, side: 4, kernel: 3 }).subarray(21 * 22)].join('')
  expect(last('row')).toBe('111111' + '00000000000' + '11111')
  expect(last('column')).toBe('111111' + '0001000100010001')
  expect(paperAttention(9)).toEqual(['row', 'column', 'row', 'row', 'row', 'column', 'row', 'row', 'conv'])
  expect(dalleConfig(paperFields(4)).attn_types).toEqual(['row', 'column', 'row', 'conv'])
})

test('no token sees what comes after it', () => {
  for (const type of ['full', 'row', 'column', 'conv', 'axial_row', 'axial_col', 'conv_like'] as const) {
    const n = 3 + 25
    const mask = attentionMask(type, n, { text: 3, side: 5, kernel: 3 })
    for (let i = 0; i < n; i++) {
      expect(mask[i * n + i], type).toBe(1)
      expect(mask.subarray(i * n + i + 1, (i + 1) * n).some(Boolean), type).toBe(false)
    }
  }
})

test('tokens are chosen as DALLE-pytorch chooses them from the same random numbers', () => {
  const [logits, uniform] = [tensorOf(reference, 'choice.logits'), tensorOf(reference, 'choice.uniform')]
  for (const [name, topK, temperature] of JSON.parse(reference.metadata.cases as string).choices as [string, number, number][]) {
    const chosen = chooseTokens(logits, uniform, { topK, temperature })
    expect(BigInt64Array.from(chosen, BigInt), name).toEqual((reference.tensors.get(`choice ${name}`) as NdArray).data)
  }
})

test('texts are padded by position', () => {
  const config = dalleConfig({ num_text_tokens: 100, text_seq_len: 5 })
  expect(textInput([7, 0, 9], config)).toEqual([0, 7, 101, 9, 103, 104])
  expect(textInput([], config)).toEqual([0, 100, 101, 102, 103, 104])
  expect(textInput([1, 2, 3, 4, 5, 6], config)).toEqual([0, 1, 2, 3, 4, 5])
})

test('names of wrappers leave the keys', () => {
  expect(renameDalle('transformer.layers.layers.3.0.fn.fn.fn.fn.fn.to_qkv.weight')).toBe(
    'transformer.layers.layers.3.0.to_qkv.weight',
  )
  expect(renameDalle('transformer.layers.layers.3.1.fn.fn.net.0.weight')).toBe('transformer.layers.layers.3.1.net.0.weight')
  expect(renameDalle('transformer.layers.blocks.2.g.net.fn.norm.weight')).toBe('transformer.layers.layers.2.1.norm.weight')
  expect(renameDalle('image_pos_emb.weights.1')).toBe('image_pos_emb.weights_1')
})

test('what cannot be followed is named', () => {
  expect(() => dalleConfig({ dim: 18 }, 'x')).toThrow('shift_tokens moves quarters')
  expect(() => dalleConfig({ attn_types: ['sparse'] }, 'x')).toThrow('attn_types.0')
})
