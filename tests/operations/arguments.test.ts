import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as core from '../../src/core/index.ts'
import { type DType, input, LangevinError, type Tensor } from '../../src/core/index.ts'

/*
 * Every operation with arguments of the right types and any values: what comes out is a tensor with a shape, or an error
 * of langevin's own that names the operation. What one is called with is drawn by name: a size, a list of sizes, a tensor.
 */

type Drawn = Record<string, unknown>
const odd = [0, -1, 1, 2, 3, 4, 7, 0.5, 1.5, -2.5, NaN, Infinity, -Infinity, 2 ** 31, 2 ** 53, 1e300]
const number = fc.oneof(fc.constantFrom(...odd), fc.integer({ min: -3, max: 6 }))
const numbers = fc.array(number, { maxLength: 4 })
const dtype = fc.constantFrom<DType>('f32', 'f16', 'bf16', 'i32', 'i64', 'bool', 'u8')
const tensor = fc.oneof(
  { weight: 3, arbitrary: fc.record({ shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ shape: fc.constantFrom([2, 3], [2, 4, 3], [1, 4, 3, 3], [4, 4, 3, 3]) }) },
  { weight: 1, arbitrary: fc.record({ shape: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }), dtype }) },
)
const index = fc.oneof(tensor, fc.record({ list: fc.array(fc.integer({ min: -4, max: 4 }), { maxLength: 4 }) }))
const flag = fc.boolean()
const perAxis = fc.oneof(number, numbers)
const window = fc.record(
  {
    stride: perAxis,
    dilation: perAxis,
    padding: fc.oneof(perAxis, fc.array(fc.tuple(number, number), { maxLength: 3 })),
    groups: number,
  },
  { requiredKeys: [] },
)
const attrs = fc.record({ stride: numbers, dilation: numbers, before: numbers, after: numbers, groups: number })
const domain = {
  x: tensor,
  y: tensor,
  z: tensor,
  mask: tensor,
  index,
  flag,
  window,
  attrs,
  dtype,
  axis: number,
  n: number,
  value: number,
  sizes: numbers,
  others: numbers,
  perAxis,
  parts: perAxis,
}

const unary = [
  'neg',
  'exp',
  'log',
  'sqrt',
  'abs',
  'sign',
  'floor',
  'round',
  'tanh',
  'sigmoid',
  'erf',
  'sin',
  'cos',
  'silu',
  'gelu',
  'relu',
  'softplus',
  'logSigmoid',
  'not',
  'stopGradient',
  'square',
] as const
const binary = ['add', 'sub', 'mul', 'div', 'pow', 'maximum', 'minimum', 'eq', 'lt', 'le', 'gt', 'ge'] as const
const reductions = ['sum', 'mean', 'max', 'min'] as const

// biome-ignore lint/suspicious/noExplicitAny: arguments are of the right types by their names.
const calls: Record<string, (d: any) => Tensor | Tensor[]> = {
  ...Object.fromEntries(unary.map((name) => [name, ({ x }) => x[name]()])),
  ...Object.fromEntries(binary.map((name) => [name, ({ x, y }) => x[name](y)])),
  ...Object.fromEntries(binary.map((name) => [`${name} a number`, ({ x, value }) => x[name](value)])),
  ...Object.fromEntries(reductions.map((name) => [name, ({ x, perAxis, flag }) => x[name](perAxis, flag)])),
  and: ({ x, y }) => x.and(y),
  or: ({ x, y }) => x.or(y),
  clip: ({ x, n, value }) => x.clip(n, value),
  leakyRelu: ({ x, value }) => x.leakyRelu(value),
  argmax: ({ x, axis }) => x.argmax(axis),
  cumsum: ({ x, axis, flag }) => x.cumsum(axis, { reverse: flag }),
  softmax: ({ x, axis }) => x.softmax(axis),
  logSoftmax: ({ x, axis }) => x.logSoftmax(axis),
  reshape: ({ x, sizes }) => x.reshape(sizes),
  transpose: ({ x, sizes }) => x.transpose(...sizes),
  expand: ({ x, sizes }) => x.expand(sizes),
  unsqueeze: ({ x, axis }) => x.unsqueeze(axis),
  squeeze: ({ x, sizes }) => x.squeeze(...sizes),
  slice: ({ x, axis, n, value, sizes }) => x.slice(axis, n, value, sizes[0]),
  flip: ({ x, axis }) => x.flip(axis),
  split: ({ x, parts, axis }) => x.split(parts, axis),
  pad: ({ x, sizes, others, value }) => x.pad(sizes, others, value),
  padAxis: ({ x, axis, n, value }) => x.padAxis(axis, n, value),
  gather: ({ x, index, axis }) => x.gather(index, axis),
  sumTo: ({ x, sizes }) => x.sumTo(sizes),
  matmul: ({ x, y, flag }) => x.matmul(y, { transA: flag, transB: !flag }),
  upsample: ({ x, sizes }) => x.upsample(sizes),
  cast: ({ x, dtype }) => x.cast(dtype),
  where: ({ mask, x, y }) => core.where(mask, x, y),
  concat: ({ x, y, axis }) => core.concat([x, y], axis),
  stack: ({ x, y, axis }) => core.stack([x, y], axis),
  scatterRows: ({ x, index, n }) => core.scatterRows(x, index, n),
  scatterAdd: ({ x, index, y }) => core.scatterAdd(x, index, y),
  embedding: ({ x, index }) => core.embedding(x, index),
  linear: ({ x, y, z, flag }) => core.linear(x, y, flag ? z : undefined),
  conv: ({ x, y, window, flag, z }) => core.conv(x, y, flag ? { ...window, bias: z } : window),
  'conv by attributes': ({ x, y, attrs }) => core.conv(x, y, attrs),
  convTranspose: ({ x, y, window, n }) => core.convTranspose(x, y, { ...window, outputPadding: n }),
  convInputGrad: ({ x, y, sizes, attrs }) => core.convInputGrad(x, y, sizes, attrs),
  convWeightGrad: ({ x, y, sizes, attrs }) => core.convWeightGrad(x, y, sizes, attrs),
  avgPool: ({ x, perAxis, window }) => core.avgPool(x, perAxis, window),
  maxPool: ({ x, perAxis, window }) => core.maxPool(x, perAxis, window),
  groupNorm: ({ x, n, y, z, value }) => core.groupNorm(x, n, y, z, value),
  layerNorm: ({ x, y, z, value }) => core.layerNorm(x, y, z, value),
  'layerNorm alone': ({ x }) => core.layerNorm(x),
  rmsNorm: ({ x, y, value }) => core.rmsNorm(x, y, value),
  'rmsNorm alone': ({ x }) => core.rmsNorm(x),
  attention: ({ x, y, z, n, flag, value, mask }) =>
    core.attention(x, y, z, { heads: n, causal: flag, scale: value, ...(flag ? { mask } : {}) }),
  resize: ({ x, sizes, flag }) => core.resize(x, sizes, flag ? 'nearest' : 'bilinear'),
  padBorder: ({ x, sizes, others, flag }) => core.padBorder(x, sizes, others, flag ? 'edge' : 'reflect'),
  constant: ({ sizes, others, dtype }) => core.constant(sizes, others, dtype),
  scalar: ({ value, dtype }) => core.scalar(value, dtype),
  zeros: ({ sizes, dtype }) => core.zeros(sizes, dtype),
  ones: ({ sizes, dtype }) => core.ones(sizes, dtype),
  full: ({ sizes, value, dtype }) => core.full(sizes, value, dtype),
  arange: ({ n, dtype }) => core.arange(n, dtype),
  input: ({ sizes, dtype }) => input('x', sizes, dtype),
  parameter: ({ sizes, dtype }) => core.parameter('x', sizes, dtype),
}

/** The words of which an error about this call must have one: the call, or an operation that it is made of. */
const alike: Record<string, string[]> = {
  stack: ['concat', 'unsqueeze'],
  embedding: ['gather'],
  scatterRows: ['scatterAdd'],
  convTranspose: ['transposed conv'],
  convInputGrad: ['transposed conv'],
  convWeightGrad: ['weight gradient of conv'],
  square: ['mul'],
  logSigmoid: ['neg', 'softplus'],
  padAxis: ['pad'],
  logSoftmax: ['max', 'sub', 'exp'],
  sumTo: ['sum'],
  linear: ['matmul'],
  ones: ['full', 'scalar'],
  zeros: ['full', 'scalar'],
  full: ['scalar'],
}

/** A tensor where its shape or its elements were drawn, else the value itself. */
function argument(value: unknown): unknown {
  const { shape, dtype, list } = (typeof value === 'object' ? value : {}) as { shape?: number[]; dtype?: DType; list?: number[] }
  return shape ? input('x', shape, dtype) : list ? core.constant(list, [list.length], 'i64') : value
}

function outcome(call: (d: Drawn) => Tensor | Tensor[], drawn: Drawn): Tensor[] | unknown {
  try {
    return [call(Object.fromEntries(Object.entries(drawn).map(([name, value]) => [name, argument(value)])))].flat()
  } catch (error) {
    return error
  }
}

describe('an operation with nonsense arguments gives an error of its own name, or a tensor with a shape', () => {
  test.each(Object.keys(calls))('%s', (name) => {
    const operation = name.split(' ')[0] as string
    fc.assert(
      fc.property(fc.record(domain), (drawn) => {
        const found = outcome(calls[name]!, drawn)
        if (Array.isArray(found)) {
          for (const { shape } of found as Tensor[])
            expect(
              shape.every((n) => Number.isInteger(n) && n >= 0),
              `${shape}`,
            ).toBe(true)
          return
        }
        expect(found).toBeInstanceOf(LangevinError)
        const { message } = found as LangevinError
        expect(
          [operation, ...(alike[operation] ?? [])].some((word) => message.includes(word)),
          message,
        ).toBe(true)
      }),
      { numRuns: 300, seed: 7 },
    )
  })

  test('every operation of the table is among them', () => {
    const here = new Set(Object.keys(calls).map((name) => name.split(' ')[0]))
    const inside = new Set(['gate'])
    expect(Object.keys(core.operations).filter((name) => !here.has(name) && !inside.has(name))).toEqual([])
  })
})

describe('shapes and settings that are none', () => {
  const x = input('x', [1, 3, 4, 4])
  const w = input('w', [5, 3, 3, 3])
  const cases: [string, () => unknown][] = [
    ['expand', () => input('v', [3]).expand([-1, 3])],
    ['full', () => core.zeros([-2])],
    ['full', () => core.zeros([1.5])],
    ['slice', () => x.slice(2, 0, NaN)],
    ['slice', () => x.slice(2, 0, 0.5)],
    ['slice', () => x.slice(2, 0, 2, 0)],
    ['conv', () => core.conv(x, w, { stride: 0 })],
    ['conv', () => core.conv(x, w, { stride: 1.5 })],
    ['conv', () => core.conv(x, w, { dilation: 0 })],
    ['conv', () => core.conv(x, w, { padding: [1] })],
    ['conv', () => core.conv(x, w, { dilation: [1] })],
    ['conv', () => core.conv(x, w, { padding: -1 })],
    ['conv', () => core.conv(x, w, { bias: input('b', [5], 'i64') })],
    ['concat', () => core.concat([x], 7)],
    ['concat', () => core.concat([x, x], 7)],
    ['resize', () => core.resize(x, [8], 'nearest')],
    ['constant', () => core.constant([1.5], [1], 'i64')],
    ['padBorder', () => core.padBorder(x, [5, 0], [0, 0], 'reflect')],
    ['padBorder', () => core.padBorder(x, [4, 0], [0, 0], 'reflect')],
    ['gather', () => x.gather(core.constant([4], [1], 'i64'), 2)],
    ['scatterAdd', () => core.scatterRows(input('u', [2, 3]), core.constant([0, 5], [2], 'i64'), 5)],
    ['sum', () => input('u', [3], 'u8').sum()],
    ['matmul', () => input('u', [3, 3], 'u8').matmul(input('v', [3, 3], 'u8'))],
  ]
  test.each(cases)('%s %#', (name, call) => {
    expect(call).toThrow(LangevinError)
    expect(call).toThrow(name)
  })
})
