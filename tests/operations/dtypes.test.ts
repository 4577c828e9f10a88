import { expect, test } from 'vitest'
import * as core from '../../src/core/index.ts'
import { type DType, DTypeError, grad, input, type Tensor } from '../../src/core/index.ts'
import { evaluate, NdArray } from '../../src/runtime/index.ts'
import { maxDifference } from '../fixture.ts'

/** Operations on tensors of these shapes, all of one dtype. */
const window = { stride: [1, 1], dilation: [1, 1], before: [1, 1], after: [1, 1], groups: 1 }
const [picture, blocks] = [
  [1, 3, 4, 4],
  [1, 16, 4, 4],
]
const rows = core.constant([0, 2, 1], [3], 'i64')
const calls: Record<string, [shapes: number[][], (...x: Tensor[]) => Tensor]> = {
  neg: [[[3, 4]], (x) => x.neg()],
  pow: [[[3], [3]], (x, y) => x.pow(y!)],
  relu: [[[3, 4]], (x) => x.relu()],
  where: [[[3], [3]], (x, y) => core.where(x.eq(y!), x, y!)],
  sum: [[[3, 4]], (x) => x.sum(0)],
  max: [[[3, 4]], (x) => x.max(0)],
  argmax: [[[3, 4]], (x) => x.argmax(0)],
  cumsum: [[[3, 4]], (x) => x.cumsum(0)],
  gather: [[[3, 4]], (x) => x.gather(rows, 0)],
  scatterRows: [[[3, 4]], (x) => core.scatterRows(x, rows, 5)],
  'scatterRows, many': [[[3, 4]], (x) => core.scatterRows(x, rows, 2000)],
  matmul: [
    [
      [3, 4],
      [4, 3],
    ],
    (x, y) => x.matmul(y!),
  ],
  'matmul, transposed': [
    [
      [3, 4],
      [3, 4],
    ],
    (x, y) => x.matmul(y!, { transB: true }),
  ],
  'matmul, batches transposed': [
    [
      [2, 3, 4],
      [2, 3, 4],
    ],
    (x, y) => x.matmul(y!, { transA: true }),
  ],
  linear: [[[3, 4], [5, 4], [5]], (x, y, z) => core.linear(x, y!, z)],
  conv: [[picture!, [5, 3, 3, 3]], (x, y) => core.conv(x, y!, { padding: 1 })],
  'conv of blocks': [[blocks!, [16, 16, 3, 3]], (x, y) => core.conv(x, y!, { padding: 1 })],
  'convTranspose of blocks': [[blocks!, [16, 16, 3, 3]], (x, y) => core.convTranspose(x, y!, { padding: 1 })],
  convWeightGrad: [[picture!, [1, 5, 4, 4]], (x, y) => core.convWeightGrad(x, y!, [3, 3], window)],
  'convWeightGrad of blocks': [[blocks!, blocks!], (x, y) => core.convWeightGrad(x, y!, [3, 3], window)],
  maxPool: [[picture!], (x) => core.maxPool(x, 2)],
  upsample: [[picture!], (x) => x.upsample([2, 2])],
  'resize, nearest': [[picture!], (x) => core.resize(x, [5, 7], 'nearest')],
  'resize, bilinear': [[picture!], (x) => core.resize(x, [5, 7], 'bilinear')],
  padBorder: [[picture!], (x) => core.padBorder(x, [1, 1], [1, 1], 'reflect')],
  groupNorm: [[blocks!, [16], [16]], (x, w, b) => core.groupNorm(x, 2, w!, b!)],
  layerNorm: [[[2, 4], [4], [4]], (x, w, b) => core.layerNorm(x, w, b)],
  attention: [
    [
      [1, 3, 4],
      [1, 3, 4],
      [1, 3, 4],
    ],
    (x, y, z) => core.attention(x, y!, z!, { heads: 2 }),
  ],
  'attention, masked': [
    [
      [1, 3, 4],
      [1, 3, 4],
      [1, 1, 1, 3],
    ],
    (x, y, mask) => core.attention(x, y!, y!, { heads: 2, mask: mask! }),
  ],
}

const dtypes: DType[] = ['f16', 'i32', 'i64', 'u8', 'bool']
test.each(Object.entries(calls))('%s gives in every dtype that it takes what it gives in float32', async (_, [shapes, call]) => {
  // Small integers, so that all dtypes hold them exactly.
  const values = shapes.map((shape) => NdArray.zeros(shape).map((_, i) => (i * 7) % 2))
  const evaluated = (dtype: DType) => {
    const xs = shapes.map((shape, i) => input(`x${i}`, shape, dtype))
    const feeds = Object.fromEntries(values.map((x, i) => [`x${i}`, x.cast(dtype)]))
    return evaluate({ y: call(...xs).cast('f32') }, feeds, { threads: 1 })
  }
  const expected = (await evaluated('f32')).y as NdArray
  for (const dtype of dtypes) {
    const found = await (async () => evaluated(dtype))().catch((error: Error) => error)
    if (found instanceof Error) expect(found, dtype).toBeInstanceOf(DTypeError)
    else expect(maxDifference(found.y as NdArray, expected), dtype).toBeLessThan(dtype === 'f16' ? 0.02 : 1e-6)
  }
})

test('a bfloat16 tensor that is used twice gathers both gradients', async () => {
  const x = input('x', [2])
  const stored = x.cast('bf16')
  const loss = stored.cast('f32').square().sum().add(stored.cast('f32').mul(3).sum())
  const { g } = await evaluate({ g: grad(loss, [stored])[0]!.cast('f32') }, { x: NdArray.from([2, -1]) })
  expect([...(g as NdArray<'f32'>).data]).toEqual([7, 1])
})
