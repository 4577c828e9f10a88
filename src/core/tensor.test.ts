import { describe, expect, test } from 'vitest'
import { ArgumentError, DTypeError, ShapeError } from './errors.ts'
import * as core from './index.ts'
import { arange, constant, full, input, parameter, scalar, type Tensor, where } from './index.ts'

const x = input('x', [2, 3, 4])
const f = (...shape: number[]) => input(`f${shape.join('x')}`, shape)

test('what changes nothing adds no node', () => {
  for (const same of [
    x.reshape([2, -1, 4]),
    x.transpose(0, 1, 2),
    x.expand([2, 3, 4]),
    x.slice(1, 0),
    x.pad([0, 0, 0], [0, 0, 0]),
    x.cast('f32'),
    x.sumTo([2, 3, 4]),
    x.sum([]),
    f(1, 2, 3, 3).upsample([1, 1]) && x,
    core.concat([x], 0),
  ])
    expect(same).toBe(x)
})

test('shapes of results', () => {
  const shapes: [Tensor, number[]][] = [
    [x.sum(), []],
    [x.sum(1), [2, 4]],
    [x.mean([0, -1], true), [1, 3, 1]],
    [x.argmax(), [2, 3]],
    [x.unsqueeze(-1), [2, 3, 4, 1]],
    [x.unsqueeze(0).squeeze(0), [2, 3, 4]],
    [x.slice(-1, 0, undefined, 3), [2, 3, 2]],
    [x.gather(constant([0, 1], [2, 1], 'i64'), 1), [2, 2, 1, 4]],
    [core.stack([x, x], 1), [2, 2, 3, 4]],
    [x.matmul(f(4, 5)), [2, 3, 5]],
    [core.linear(x, f(7, 4)), [2, 3, 7]],
    [core.conv(f(1, 3, 7, 8), f(5, 3, 3, 3), { stride: 2, padding: 1 }), [1, 5, 4, 4]],
    [core.convTranspose(f(1, 3, 4, 4), f(3, 5, 3, 3), { stride: 2, padding: 1, outputPadding: 1 }), [1, 5, 8, 8]],
    [core.resize(f(1, 2, 4, 4), [3, 9], 'bilinear'), [1, 2, 3, 9]],
    [core.embedding(f(9, 5), constant([0, 1, 2], [3], 'i64')), [3, 5]],
  ]
  for (const [tensor, shape] of shapes) expect(tensor.shape).toEqual(shape)
  expect(x.split([1, 2], 1).map(({ shape }) => shape)).toEqual([
    [2, 1, 4],
    [2, 2, 4],
  ])
  expect([x.size, x.rank, x.gt(0).dtype, x.argmax().dtype, x.cast('f16').mul(2).dtype]).toEqual([24, 3, 'bool', 'i64', 'f16'])
})

describe('constants', () => {
  const data = (tensor: Tensor) => tensor.attrs.data

  test('of numbers and arrays, exact in their dtype', () => {
    expect(data(constant([1, 2 ** 40 + 1], [2], 'i64'))).toEqual(BigInt64Array.of(1n, 2n ** 40n + 1n))
    expect(data(arange(3, 'i32'))).toEqual(Int32Array.of(0, 1, 2))
    expect(data(scalar(2 ** 53 - 1, 'i64'))).toEqual(BigInt64Array.of(2n ** 53n - 1n))
    expect(data(scalar(0.5, 'f16'))).toEqual(Uint16Array.of(0x3800))
    const kinds = [Float32Array, Int32Array, BigInt64Array, Uint8Array].map((kind) => constant(new kind(2)).dtype)
    expect(kinds).toEqual(['f32', 'i32', 'i64', 'u8'])
    expect(full([2, 3], 7).shape).toEqual([2, 3])
  })

  test('that cannot be', () => {
    expect(() => constant([1, 2], [3])).toThrow(new ShapeError('constant: 2 elements cannot have shape [3]'))
    expect(() => constant(new Uint16Array(2))).toThrow('say whether 16-bit elements are f16 or bf16')
    expect(() => scalar(0.5, 'i64')).toThrow(
      new DTypeError(
        'scalar: 0.5 is no i64 (integers from -9223372036854776000 to 9223372036854775000); cast the tensor to f32 first',
      ),
    )
    expect(() => input('n', [2], 'i64').mul(1.5)).toThrow(DTypeError)
  })
})

test('an input without a name, or with sizes that are none', () => {
  expect(() => input('', [2])).toThrow(new ArgumentError('input of shape [2] has no name'))
  expect(() => parameter('w', [2, -1])).toThrow(new ShapeError('parameter "w": [2, -1] is no shape'))
  expect(() => input('x', [2.5])).toThrow('input "x": [2.5] is no shape')
})

describe('errors name the operation, both sides and what fits', () => {
  const [row, whole] = [f(3), input('whole', [2, 3], 'i64')]
  const cases: [() => unknown, string][] = [
    [() => x.add(f(5)), 'add of "x" and "f5": [2, 3, 4] and [5] do not broadcast (axis 2: 4 against 5)'],
    [() => x.mul(whole), 'mul: "x" is f32 and "whole" is i64; cast one of them'],
    [() => x.reshape([5, -1]), 'reshape: "x" [2, 3, 4] cannot become [5, 4.8]'],
    [() => x.transpose(0, 0, 1), 'transpose: [0, 0, 1] does not reorder the 3 axes of "x"'],
    [() => x.expand([2, 3]), 'expand of "x": [2, 3, 4] and [2, 3] do not broadcast'],
    [() => f(1, 3).expand([3]), 'expand of "f1x3": [1, 3] does not expand to [3]'],
    [() => x.squeeze(1), 'squeeze: axis 1 of "x" [2, 3, 4] is not 1'],
    [() => x.slice(1, 2, 9), 'slice: 2 to 9 by 1 does not lie in axis 1 of "x" (size 3)'],
    [() => x.slice(1, 2, 2), 'slice: 2 to 2 by 1 does not lie in axis 1'],
    [() => x.split(2, 1), 'split: axis 1 of "x" (size 3) does not split into 2'],
    [() => x.pad([1], [1]), 'pad: [1] and [1] do not pad "x" [2, 3, 4]'],
    [() => x.sum(3), 'axis 3 is outside a tensor of rank 3'],
    [() => x.matmul(row), 'matmul of "x" [2, 3, 4] and "f3" [3]: both need at least two axes'],
    [() => x.matmul(f(5, 4)), 'matmul of "x" [2, 3, 4] and "f5x4" [5, 4]: inner sizes 4 and 5 differ'],
    [() => core.linear(x, f(7, 5)), 'linear by "f7x5" [7, 5]: the last axis of [2, 3, 4] must be 5'],
    [() => core.concat([x, f(2, 9, 5)], 1), 'concat along axis 1: "x" f32[2, 3, 4] and "f2x9x5" f32[2, 9, 5] differ elsewhere'],
    [() => core.concat([], 0), 'concat: no tensors given'],
    [() => x.gather(f(2), 0), 'gather: the index "f2" is f32; it must be i64 or i32'],
    [() => core.scatterRows(x, constant([0], [1], 'i64'), 4), 'scatterAdd: [2, 3, 4] needs an index [2], got [1]'],
    [() => whole.sigmoid(), 'sigmoid: "whole" is i64; cast it to f32 first'],
    [() => whole.mean(), 'mean: "whole" is i64; cast it to f32 first'],
    [() => x.gt(0).add(x.gt(1)), 'add: the result of gt is bool; cast it to f32 first'],
    [() => x.and(x), 'and: "x" is f32; cast it to bool first'],
    [() => input('stored', [2], 'bf16').mul(2), 'mul: "stored" is bf16; cast it to f32 first'],
    [() => core.layerNorm(x, f(4).cast('f16')), 'layerNorm: "x" is f32 and the result of cast is f16; cast one of them'],
    [() => core.attention(x, x, x.cast('f16'), { heads: 2 }), 'attention: "x" is f32 and the result of cast is f16'],
    [() => core.conv(f(1, 3, 5), f(2, 3, 3).cast('f16')), 'is f32 and the result of cast is f16; cast one of them'],
    [() => core.scatterRows(x, f(2), 4), 'scatterAdd: the index "f2" is f32; it must be i64 or i32'],
    [() => where(x, x, x), 'where: the condition "x" is f32; it must be bool'],
    [
      () => core.conv(f(1, 4, 5, 5), f(5, 3, 3, 3)),
      'conv of "f1x4x5x5" [1, 4, 5, 5] by "f5x3x3x3" [5, 3, 3, 3]: the weight takes 3 channels',
    ],
    [() => core.conv(f(1, 3, 2, 5), f(5, 3, 3, 3)), 'a window reaching 3 does not fit axis 2 (size 2, padding 0+0)'],
    [() => core.conv(f(1, 3, 5, 5), f(5, 3, 3, 3), { bias: f(4) }), 'the bias is [4], expected [5]'],
    [() => core.conv(f(1, 3), f(5, 3)), 'x and weight need one to three spatial axes'],
    [() => core.convTranspose(f(1, 4, 5, 5), f(3, 5, 3, 3)), 'the input must be [B, 3, 5, 5]'],
    [() => core.maxPool(f(1, 3, 5), 6), 'a window reaching 6 does not fit axis 2'],
    [() => core.avgPool(f(1, 3, 5), [2, 2]), 'a window [2, 2] needs 4 axes'],
    [() => f(1, 3, 4, 4).upsample([2]), 'upsample: [2] are not whole factors for the spatial axes of "f1x3x4x4"'],
    [() => core.groupNorm(f(1, 6, 4), 4, f(6), f(6)), 'groupNorm by "f6": 6 channels do not split into 4 groups'],
    [() => core.layerNorm(x, f(3), f(4)), 'layerNorm of "x" [2, 3, 4]: "f3" must be [4], is [3]'],
    [() => core.attention(x, x, x, { heads: 3 }), 'attention: widths 4 and 4 do not split into 3 heads'],
    [() => core.attention(x, f(2, 5, 4), f(2, 6, 4), { heads: 2 }), 'attention: v "f2x6x4": expected M = 5'],
    [() => core.attention(x, f(2, 5, 4), f(2, 5, 4), { heads: 2, causal: true }), 'as many queries as keys, got 3 and 5'],
    [() => core.attention(x, x, x, { heads: 2, mask: f(3, 1, 3, 3) }), 'mask [3, 1, 3, 3] must be [1 or 2, 1 or 2, 1 or 3, 3]'],
  ]
  test.each(cases)('%s', (call, message) => expect(call).toThrow(message))
})
