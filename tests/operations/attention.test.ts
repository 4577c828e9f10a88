import { expect, test } from 'vitest'
import { attention, concat, input } from '../../src/core/index.ts'
import { lower } from '../../src/core/onnx/lower.ts'
import { evaluate, Generator, type NdArray } from '../../src/runtime/index.ts'
import { maxDifference } from '../fixture.ts'

test('a large mask acts on some queries at a time, with the result of all at once', async () => {
  const [N, heads] = [1500, 8]
  const [q, mask] = [input('q', [1, N, 8]), input('mask', [1, 1, N, N])]
  const whole = attention(q, q, q, { heads, mask })
  const parts = [0, 500, 1000].map((start) =>
    attention(q.slice(1, start, start + 500), q, q, { heads, mask: mask.slice(2, start, start + 500) }),
  )
  const calls = lower({ outputs: { whole } }, { target: 'cpu' }).model.graph.node.filter(
    ({ opType }) => opType === 'MultiHeadAttention',
  )
  expect(calls.length).toBeGreaterThan(1)
  const generator = new Generator(0)
  const feeds = { q: generator.randn([1, N, 8]), mask: generator.randn([1, 1, N, N]) }
  const found = await evaluate({ whole, parts: concat(parts, 1) }, feeds)
  expect(maxDifference(found.whole as NdArray, found.parts as NdArray)).toBeLessThan(1e-6)
})

test('a mask of keys needs no mask in the kernel, which then holds no scores', () => {
  const [q, mask] = [input('q', [1, 16384, 64]), input('mask', [1, 1, 1, 16384])]
  const { node } = lower({ outputs: { y: attention(q, q, q, { heads: 8, mask }) } }, { target: 'cpu' }).model.graph
  const calls = node.filter(({ opType }) => opType === 'MultiHeadAttention')
  expect(calls.map(({ input }) => input.length)).toEqual([3])
})
