import { expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../../tests/fixture.ts'
import { type Described, disagreements, keysOf, weightsOf } from '../../../tests/networks.ts'
import { range } from '../../core/shape.ts'
import { constant, input } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { tokenRotation } from '../../nn/positions.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { compile } from '../../runtime/program.ts'
import { ModelConfigError } from '../config.ts'
import { dreamConfig, lladaConfig } from '../llada/config.ts'
import { dream, llada } from '../llada/network.ts'
import { blockCausalMask, blockTrainingMask } from './blocks.ts'
import { mdlmConfig, seddConfig } from './config.ts'
import { mdlm } from './network.ts'

const references = fixture('text-models')
type Case = Described & { readonly class: string }
const cases = JSON.parse(references.metadata.cases as string) as Record<'llada' | 'dream' | 'mdlm' | 'bd3lm' | 'sedd', Case>
const tokensOf = (name: string) => input('tokens', tensorOf(references, `${name}.tokens`).shape, 'i64')

test.each([
  ['llada', llada, lladaConfig],
  ['dream', dream, dreamConfig],
] as const)(
  '%s: keys, logits and gradients agree with the layers of Llama and Qwen2 that see all tokens',
  async (name, build, read) => {
    const { config, class: _class, ...keys } = cases[name]
    const p = new Params()
    const tokens = tokensOf(name)
    const logits = build(p, read(config))(tokens)
    expect(keysOf(p)).toEqual(keys)
    expect(await disagreements(references, name, { p, symbols: new Map([['tokens', tokens]]), outputs: { logits } })).toEqual([])
  },
)

test.each(['mdlm', 'sedd'] as const)('%s: keys, logits and gradients agree with the reference', async (name) => {
  const { config, class: _class, ...keys } = cases[name]
  const p = new Params()
  const [tokens, sigma] = [tokensOf(name), input('sigma', [2])]
  const { logits } = mdlm(p, name === 'sedd' ? seddConfig(config) : mdlmConfig(config))(tokens, sigma)
  expect(keysOf(p)).toEqual(keys)
  const symbols = new Map([
    ['tokens', tokens],
    ['sigma', sigma],
  ])
  expect(await disagreements(references, name, { p, symbols, outputs: { logits } })).toEqual([])
})

const bd3 = mdlmConfig(cases.bd3lm.config)
const n = bd3.model_length

test('bd3lm: noisy blocks see themselves and the clean blocks before, with the reference’s logits and gradients', async () => {
  const { config: _config, class: _class, ...keys } = cases.bd3lm
  const p = new Params()
  const tokens = tokensOf('bd3lm')
  const mask = constant(blockTrainingMask(n, 4), [1, 1, 2 * n, 2 * n])
  const { logits } = mdlm(p, bd3)(tokens, undefined, { positions: range(2 * n).map((i) => i % n), mask })
  expect(keysOf(p)).toEqual(keys)
  const outputs = { logits: logits.slice(1, 0, n) }
  expect(await disagreements(references, 'bd3lm', { p, symbols: new Map([['tokens', tokens]]), outputs })).toEqual([])
})

test('bd3lm: block after block with the keys and values of those before gives what one pass gives', async () => {
  const p = new Params()
  const network = mdlm(p, bd3)
  const clean = input('clean', [2, n], 'i64')
  const whole = network(clean, undefined, { mask: constant(blockCausalMask(n, 4), [1, 1, n, n]) }).logits
  const [first, second] = [clean.slice(1, 0, 4), clean.slice(1, 4, 8)]
  const before = network(first)
  const angles = tokenRotation([4, 5, 6, 7], bd3.hidden_dim / bd3.n_heads)
  const rotation = { cos: constant(angles.cos.data, angles.cos.shape), sin: constant(angles.sin.data, angles.sin.shape) }
  const after = network(second, undefined, { rotation, past: before.own })
  const program = await compile({ outputs: { whole, first: before.logits, second: after.logits }, weights: weightsOf(p, 0) })
  const made = (await program.run({ clean: references.tensors.get('bd3lm.clean') as NdArray })) as Record<string, NdArray<'f32'>>
  await program.release()
  expect(maxDifference(made.whole as NdArray, tensorOf(references, 'bd3lm.sampled'))).toBeLessThan(1e-4)
  expect(maxDifference((made.whole as NdArray).slice(1, 0, 4), made.first as NdArray)).toBeLessThan(1e-5)
  expect(maxDifference((made.whole as NdArray).slice(1, 4, 8), made.second as NdArray)).toBeLessThan(1e-5)
})

test('the published sizes, and configs that cannot be followed', () => {
  const count = (build: (p: Params) => unknown) => {
    const p = new Params()
    build(p)
    return p.count
  }
  expect(count((p) => llada(p, lladaConfig({ eos_token_id: 126081 })))).toBe(8_015_581_184)
  expect(count((p) => dream(p, dreamConfig({})))).toBe(7_615_616_512)
  expect(() => mdlmConfig({ hidden_dim: 20, n_heads: 3 }, 'x/config.json')).toThrow(ModelConfigError)
  expect(() => mdlmConfig({ model_length: 10, block_size: 4 })).toThrow(/blocks of 4 do not fill 10/)
  expect(() => lladaConfig({ mask_token_id: 126464 })).toThrow(/mask is token 126464/)
  expect(() => lladaConfig({ layer_norm_type: 'default' }, 'x')).toThrow(/layer_norm_type/)
  expect(() => seddConfig({ tokens: 5 }, 'y')).toThrow(/y: the config cannot be followed\n {2}graph/)
})
