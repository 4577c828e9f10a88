import { expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../../tests/fixture.ts'
import { type Described, disagreements, keysOf, weightsOf } from '../../../tests/networks.ts'
import { concat } from '../../core/functions.ts'
import { arange, constant, input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { evaluate } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import {
  betaSchedule,
  discreteVAE,
  discreteVAEConfig,
  divergenceFromUniform,
  effectiveBeta,
  hardTokens,
  logitLaplace,
  oneHot,
  openAIDiscreteVAE,
  openAIDiscreteVAEConfig,
  openAIDiscreteVAEConfigOf,
  relaxedCodes,
  sampledCodes,
  scheduled,
  temperatureSchedule,
} from './index.ts'

const reference = fixture('dalle')
const cases: Record<string, Described> = JSON.parse(reference.metadata.cases as string)
const published: Record<string, Described> = JSON.parse(reference.metadata.published as string)

const symbolsOf = (name: string, keys: Readonly<Record<string, 'f32' | 'i64'>>) =>
  new Map(Object.entries(keys).map(([key, dtype]) => [key, input(key, tensorOf(reference, `${name}.${key}`).shape, dtype)]))

test.each(['openai', 'openai two blocks'])('%s: keys, outputs and gradients agree with OpenAI', async (name) => {
  const { config, ...keys } = cases[name] as Described
  const p = new Params()
  const network = openAIDiscreteVAE(p, openAIDiscreteVAEConfig(config))
  expect(keysOf(p)).toEqual(keys)
  const shapes = new Map([...p.tensors].map(([key, { shape }]) => [key, shape]))
  expect(openAIDiscreteVAEConfigOf(shapes, name)).toEqual(openAIDiscreteVAEConfig(config))
  const symbols = symbolsOf(name, { images: 'f32', codes: 'f32' })
  const { mean, logScale } = network.decode(symbols.get('codes') as Tensor)
  const outputs = { logits: network.encode(symbols.get('images') as Tensor), outputs: concat([mean, logScale], 1) }
  expect(await disagreements(reference, name, { p, symbols, outputs })).toEqual([])
  const images = input('images', tensorOf(reference, `${name}.images`).shape)
  const tokens = hardTokens(network.encode(images))
  const made = await evaluate(
    { outputs: { tokens, picture: network.decodeTokens(tokens) }, weights: weightsOf(p, 0) },
    { images: tensorOf(reference, `${name}.images`) },
  )
  expect(made.tokens?.data).toEqual((reference.tensors.get(`${name}.tokens`) as NdArray).data)
  expect(maxDifference(made.picture as NdArray, tensorOf(reference, `${name}.picture`))).toBeLessThan(1e-4)
})

test('a published autoencoder has the keys, shapes and parameters of OpenAI', () => {
  const p = new Params()
  openAIDiscreteVAE(p, openAIDiscreteVAEConfig({}))
  const { config: _, ...keys } = published['dall-e'] as Described
  expect(keysOf(p)).toEqual(keys)
  expect(p.count).toBe(53_786_240 + 43_829_766)
})

test.each(['vae', 'vae resnet'])('%s: keys, outputs and gradients agree with DALLE-pytorch', async (name) => {
  const { config, ...keys } = cases[name] as Described
  const p = new Params()
  const network = discreteVAE(p, discreteVAEConfig(config))
  expect(keysOf(p)).toEqual(keys)
  const symbols = symbolsOf(name, { images: 'f32', tokens: 'i64' })
  const tokens = symbols.get('tokens') as Tensor
  const pictures = network.decodeTokens(tokens)
  // Pixels are the decoder's values brought back from 0 and 1: inside the range they tell the values.
  const outputs = { logits: network.encode(symbols.get('images') as Tensor), decoded: network.decoded(tokens) }
  expect(pictures.shape).toEqual(outputs.decoded.shape)
  expect(await disagreements(reference, name, { p, symbols, outputs })).toEqual([])
})

test('density, divergence and relaxation agree with PyTorch', async () => {
  const symbols = symbolsOf('objective', { x: 'f32', mean: 'f32', 'log scale': 'f32', logits: 'f32', uniform: 'f32' })
  const at = (key: string) => symbols.get(key) as Tensor
  const outputs = {
    density: logitLaplace(at('x'), { mean: at('mean'), logScale: at('log scale') }),
    divergence: divergenceFromUniform(at('logits')),
    relaxed: relaxedCodes(at('logits'), at('uniform'), 0.3),
  }
  expect(await disagreements(reference, 'objective', { p: new Params(), symbols, outputs })).toEqual([])
  const feeds = { logits: tensorOf(reference, 'objective.logits'), uniform: tensorOf(reference, 'objective.uniform') }
  const { codes } = await evaluate({ codes: sampledCodes(at('logits'), at('uniform')) }, feeds)
  expect(codes?.data).toEqual((reference.tensors.get('objective.sampled') as NdArray).data)
})

test('the logit-Laplace density has the integral 1', async () => {
  const steps = 20_000
  const x = constant(
    Float32Array.from({ length: steps }, (_, i) => (i + 0.5) / steps),
    [steps],
  )
  const density = logitLaplace(x, { mean: constant([0.4]), logScale: constant([-0.7]) }).exp()
  expect((await evaluate({ sum: density.mean() })).sum?.item()).toBeCloseTo(1, 3)
})

test('relaxed samples become one-hot as the temperature falls', async () => {
  const [logits, uniform] = [input('logits', [4, 6, 3, 3]), input('uniform', [4, 6, 3, 3])]
  const hard = oneHot(sampledCodes(logits, uniform), arange(6, 'i64'))
  const apart = (temperature: number) => relaxedCodes(logits, uniform, temperature).sub(hard).abs().max()
  const generator = new Generator(1)
  const feeds = { logits: generator.randn([4, 6, 3, 3]), uniform: generator.rand([4, 6, 3, 3]) }
  const found = await evaluate({ warm: apart(1), cool: apart(0.1), cold: apart(1e-4) }, feeds)
  const [warm, cool, cold] = ['warm', 'cool', 'cold'].map((key) => (found[key] as NdArray).item()) as [number, number, number]
  expect(warm).toBeGreaterThan(cool)
  expect(cool).toBeGreaterThan(cold)
  expect(cold).toBeLessThan(1e-3)
})

test("the paper's schedules, and the weight of the divergence", () => {
  expect([0, 75_000, 150_000, 900_000].map((step) => scheduled(temperatureSchedule, step))).toEqual([
    1,
    (1 + 1 / 16) / 2,
    1 / 16,
    1 / 16,
  ])
  expect(scheduled(betaSchedule, 2500)).toBeCloseTo(3.3, 12)
  expect(effectiveBeta(6.6, [32, 32], [3, 256, 256])).toBeCloseTo(6.6 / 192, 12)
  expect(effectiveBeta(6.6, [8, 8], [3, 64, 64])).toBeCloseTo(6.6 / 192, 12)
})

test('sides that do not divide are named', () => {
  const network = openAIDiscreteVAE(new Params(), openAIDiscreteVAEConfig(cases.openai?.config))
  expect(() => network.encode(input('x', [1, 3, 16, 20]))).toThrow('[1, 3, 16, 20] must be multiples of 8')
  expect(() => openAIDiscreteVAEConfig({ n_hid: 6 }, 'x')).toThrow('n_hid')
})
