import { expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { input } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { autoregressiveSampler } from '../../pipelines/unclip/autoregressive.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { evaluate } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { adamw } from '../../training/optimizer.ts'
import { TrainingStep } from '../../training/step.ts'
import {
  autoregressivePrior,
  autoregressivePriorConfig,
  codesLoss,
  codesToEmbedding,
  embeddingToCodes,
  fitEmbeddingCodes,
} from './index.ts'

const generator = new Generator(0)
/** 200 embeddings of 6 channels that vary in 3 directions, by less and less. */
const spread = NdArray.from([5, 2, 0.5], [1, 3])
const directions = generator.randn([3, 6])
const embeds = generator.randn([200, 3]).mul(spread).matmul(directions).add(1).cast('f32')

test('principal components are orthonormal, fall in variance, and hold what varies', () => {
  const codes = fitEmbeddingCodes(embeds, { components: 3, buckets: 256 })
  const eye = NdArray.from([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3])
  expect(maxDifference(codes.axes.matmul(codes.axes.transpose()), eye)).toBeLessThan(1e-5)
  expect(codes.kept).toBeCloseTo(1, 6)
  const variances = embeds
    .sub(codes.mean)
    .matmul(codes.axes.transpose())
    .std({ axes: [0] }).data
  expect([...variances].sort((a, b) => b - a)).toEqual([...variances])
  expect(fitEmbeddingCodes(embeds, { components: 1, buckets: 4 }).kept).toBeLessThan(0.99)
  expect(() => fitEmbeddingCodes(embeds, { components: 7, buckets: 4 })).toThrow(
    /7 components in 4 buckets of 200 embeddings of 6/,
  )
})

test('an embedding comes back from its codes within half a bucket', () => {
  const codes = fitEmbeddingCodes(embeds, { components: 3, buckets: 256 })
  const numbers = embeddingToCodes(embeds, codes)
  const back = codesToEmbedding(numbers, codes)
    .sub(embeds)
    .matmul(codes.axes.transpose())
    .abs()
    .max({ axes: [0] })
  const width = codes.high.sub(codes.low).div(256)
  for (let k = 0; k < 3; k++) expect(back.data[k] as number).toBeLessThan((width.data[k] as number) * 0.51)
  expect([...embeddingToCodes(embeds.mul(100), codes).data].every((code) => code >= 0n && code < 256n)).toBe(true)
})

const config = autoregressivePriorConfig({
  num_attention_heads: 2,
  attention_head_dim: 8,
  num_layers: 1,
  embedding_dim: 4,
  num_embeddings: 2,
  components: 3,
  buckets: 4,
  likeness_buckets: 2,
})
const conditions = (count: number) => ({
  textEmbeds: input('textEmbeds', [count, 4]),
  context: input('context', [count, 2, 4]),
  contextMask: input('contextMask', [count, 2]),
  likeness: input('likeness', [count], 'i64'),
})
const whole = (values: readonly number[], shape: readonly number[]) =>
  new NdArray(BigInt64Array.from(values, BigInt), shape, 'i64')

test('a place is predicted by the codes before it alone', async () => {
  const p = new Params()
  const logits = autoregressivePrior(p, config)(input('codes', [2, 3], 'i64'), conditions(2))
  const weights = p.initialise(new Generator(1))
  const one = new Generator(2)
  const same = (x: NdArray) => NdArray.concat([x, x])
  const feeds = {
    codes: whole([1, 2, 3, 1, 0, 0], [2, 3]),
    textEmbeds: same(one.randn([1, 4])),
    context: same(one.randn([1, 2, 4])),
    contextMask: NdArray.full([2, 2], 1),
    likeness: whole([1, 1], [2]),
  }
  const found = (await evaluate({ outputs: { logits }, weights }, feeds)).logits as NdArray
  const row = (k: number) => [found.slice(0, 0, 1).slice(1, k, k + 1), found.slice(0, 1, 2).slice(1, k, k + 1)] as const
  for (const k of [0, 1]) expect(maxDifference(...row(k))).toBeLessThan(1e-6)
  expect(maxDifference(...row(2))).toBeGreaterThan(1e-3)
})

test('it learns which embedding belongs to which text, and draws it', { timeout: 60_000 }, async () => {
  // Two texts, an embedding each, with a little noise.
  const centres = NdArray.from([3, 0, 0, 1, -3, 1, 0, -1], [2, 4])
  const which = Array.from({ length: 64 }, (_, i) => i % 2)
  const data = NdArray.concat(which.map((k) => centres.slice(0, k, k + 1)))
    .add(generator.randn([64, 4]).mul(0.1))
    .cast('f32')
  const codes = fitEmbeddingCodes(data, { components: 3, buckets: 4 })
  const text = (rows: readonly number[]) => ({
    textEmbeds: NdArray.from(
      rows.flatMap((k) => [k, 1 - k, 0, 1]),
      [rows.length, 4],
    ),
    context: NdArray.zeros([rows.length, 2, 4]),
    contextMask: NdArray.full([rows.length, 2], 1),
  })
  const params = new Params()
  const target = input('codes', [64, 3], 'i64')
  const loss = codesLoss(autoregressivePrior(params, config)(target, conditions(64)), target)
  const optimizer = adamw({ weightDecay: 0 })
  const batch = { codes: embeddingToCodes(data, codes), likeness: whole(which, [64]), ...text(which) }
  const task = { params, loss, batch: () => batch }
  const step = await TrainingStep.compile(task as never, params.initialise(new Generator(3)), { optimizer, maxGradNorm: 1 })
  const losses: number[] = []
  for (let i = 1; i <= 60; i++) losses.push((await step.run([batch], optimizer.scalars(i, 0.02))).loss as number)
  expect(losses.at(-1)).toBeLessThan(0.7 * (losses[0] as number))
  const sampler = autoregressiveSampler({ config, weights: await step.weights(), codes }, { threads: 1 })
  await step.release()
  for (const k of [0, 1]) {
    const made = await sampler.sample({ text: text([k]), likeness: k, generator: new Generator(4), temperature: 0.5 })
    const away = (row: number) =>
      made
        .sub(centres.slice(0, row, row + 1))
        .square()
        .sum()
        .item()
    expect(away(k)).toBeLessThan(away(1 - k))
  }
  await sampler.release()
})
