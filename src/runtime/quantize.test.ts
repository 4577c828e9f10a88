import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { openSafetensors, writeSafetensors } from '../checkpoints/safetensors.ts'
import { packInMemory } from '../core/onnx/fill.ts'
import { lower } from '../core/onnx/lower.ts'
import { nibbles, perRow } from '../core/ops/quantized.ts'
import { input } from '../core/tensor.ts'
import { conv, linear } from '../nn/layers.ts'
import { Params } from '../nn/params.ts'
import { toTokens } from '../nn/transformer.ts'
import { NdArray } from './ndarray.ts'
import { evaluate } from './program.ts'
import { quantizationOf } from './quantization.ts'
import { Calibration, type Quantize } from './quantize.ts'
import { Generator } from './random.ts'

const random = new Generator(3)
const p = new Params()
/** A first layer of few channels, two wide convolutions, a product over tokens. */
const network = (() => {
  const first = conv(p.at('first'), 3, 64, 3, { padding: 1 })
  const wide = conv(p.at('wide'), 64, 96, 3, { padding: 1 })
  const narrow = conv(p.at('narrow'), 96, 64, 1)
  const tokens = linear(p.at('tokens'), 64, 128)
  return tokens(toTokens(narrow(wide(first(input('x', [2, 3, 8, 8])).silu()).silu())))
})()
const weights = p.initialise(random)
const computation = { outputs: { y: network }, weights }
const feeds = [0, 1, 2].map(() => ({ x: random.randn([2, 3, 8, 8]) }))

/** Signal to noise in dB. */
function quality(found: NdArray | undefined, expected: NdArray | undefined): number {
  const [a, b] = [found, expected].map((array) => array?.data as Float32Array) as [Float32Array, Float32Array]
  const sum = (f: (i: number) => number) => b.reduce((total, _, i) => total + f(i) ** 2, 0)
  return 10 * Math.log10(sum((i) => b[i]!) / sum((i) => a[i]! - b[i]!))
}

async function calibrated(given = computation) {
  const calibration = await Calibration.compile(given)
  const results = []
  for (const one of feeds) results.push(await calibration.run(one))
  await calibration.release()
  return { ranges: calibration.ranges, results }
}

describe('int8', () => {
  test('a calibrated network is within the noise of 8 bits of its float self, on other inputs too', async () => {
    const { ranges } = await calibrated()
    const quantization: Quantize = { kind: 'int8', ranges }
    for (const one of [feeds[0]!, { x: new Generator(9).randn([2, 3, 8, 8]) }]) {
      const { y: float } = await evaluate(computation, one)
      const { y } = await evaluate(computation, one, { quantization })
      expect(quality(y, float)).toBeGreaterThan(30)
      expect(quality(y, float)).toBeLessThan(60) // It is not the float network that ran.
    }
  })

  test('the first layer has no range: it stays in float', async () => {
    const { ranges } = await calibrated()
    expect(Object.keys(ranges)).toEqual(['wide.weight', 'narrow.weight'])
  })

  test('calibration runs as the network does, sees what is there, and twice the same', async () => {
    const [once, again] = [await calibrated(), await calibrated()]
    expect(once.ranges).toEqual(again.ranges)
    for (const [i, one] of feeds.entries()) {
      const { y } = await evaluate(computation, one)
      expect(once.results[i]?.y?.sub(y!).abs().max().item()).toBeLessThan(1e-5)
    }
    const one = await Calibration.compile({ outputs: { y: conv(p.at('wide'), 64, 96, 3)(input('h', [1, 64, 3, 3])) }, weights })
    const h = random.randn([1, 64, 3, 3])
    const { y } = await one.run({ h })
    expect(one.ranges['wide.weight']).toEqual([h.min().item(), h.max().item(), y!.min().item(), y!.max().item()])
    await one.release()
  })

  test('sums at the ends of all ranges do not saturate', async () => {
    const own = new Params()
    const y = conv(own.at('c'), 64, 64, 3)(input('x', [1, 64, 8, 8]))
    const z = linear(own.at('l'), 64, 64)(input('t', [32, 64]))
    const full = (shape: readonly number[]) => NdArray.full(shape, 1)
    const extremes = new Map([
      ['c.weight', full([64, 64, 3, 3])],
      ['c.bias', full([64])],
      ['l.weight', full([64, 64])],
      ['l.bias', full([64])],
    ])
    const values = { x: full([1, 64, 8, 8]), t: full([32, 64]) }
    const ranges = { 'c.weight': [-1, 1, -600, 600] } as const
    const given = { outputs: { y, z }, weights: extremes }
    const found = await evaluate(given, values, { quantization: { kind: 'int8', ranges } })
    expect(Math.abs(found.y!.min().item() - 577)).toBeLessThan(4)
    expect(Math.abs(found.z!.max().item() - 65)).toBeLessThan(0.5)
    expect(Math.abs(found.z!.min().item() - 65)).toBeLessThan(0.5)
  })

  test('only on the CPU', async () => {
    const quantized = evaluate(computation, feeds[0], { device: 'webgpu', quantization: { kind: 'int4' } })
    await expect(quantized).rejects.toThrow('quantised layers run on the CPU, not on webgpu')
  })
})

describe('int4', () => {
  test('a network is within the noise of 4 bits of its float self', async () => {
    const { y: float } = await evaluate(computation, feeds[0])
    const { y } = await evaluate(computation, feeds[0], { quantization: { kind: 'int4' } })
    expect(quality(y, float)).toBeGreaterThan(17)
    expect(quality(y, float)).toBeLessThan(40)
  })

  test('weights that 4 bits can hold come back exactly', async () => {
    const own = new Params()
    const y = linear(own.at('l'), 64, 64, { bias: false })(input('x', [16, 64]))
    const whole = Float32Array.from({ length: 64 * 64 }, (_, i) => (i % 32 === 0 ? -8 : ((i * 7) % 16) - 8))
    const exact = new Map([['l.weight', new NdArray(whole, [64, 64], 'f32')]])
    const x = random.randn([16, 64])
    const given = { outputs: { y }, weights: exact }
    const { y: float } = await evaluate(given, { x })
    const { y: packed } = await evaluate(given, { x }, { quantization: { kind: 'int4' } })
    expect(quality(packed, float)).toBeGreaterThan(35)
    const [codes, scales] = packInMemory(nibbles([64, 2, 32]), whole)
    expect(scales!.data.every((scale) => scale === 1)).toBe(true)
    expect((codes!.data[0] as number) & 15).toBe(0)
    expect((codes!.data[0] as number) >> 4).toBe(7)
  })
})

test('a large weight is in few bits whatever its rows, a small one of few rows in float', async () => {
  const own = new Params()
  const [large, small] = [linear(own.at('large'), 1024, 2048), linear(own.at('small'), 512, 512)]
  const weights = own.initialise(random)
  const x = { wide: random.randn([1, 1024]), narrow: random.randn([1, 512]) }
  const outputs = { large: large(input('wide', [1, 1024])), small: small(input('narrow', [1, 512])) }
  const float = await evaluate({ outputs, weights }, x)
  for (const [quantization, decibels] of [
    [{ kind: 'int8', ranges: {} }, 40],
    [{ kind: 'int4' }, 17],
  ] as const) {
    const { model } = lower(
      { outputs, weights },
      { target: 'cpu', packs: true, quantization: await quantizationOf(quantization) },
    )
    expect(model.graph.node.filter(({ opType }) => opType === 'MatMulNBits')).toHaveLength(1)
    const found = await evaluate({ outputs, weights }, x, { quantization })
    expect(quality(found.large, float.large)).toBeGreaterThan(decibels)
    expect(quality(found.large, float.large)).toBeLessThan(60)
    expect(found.small?.data).toEqual(float.small?.data)
  }
})

test('rows of weights: the largest takes the limit, zeros stay zero, and no error is above half a step', () => {
  const values = Float32Array.from([0.5, -1, 0.25, 0, 0, 0, 3, 2.99, -3])
  const [integers, scales] = packInMemory(perRow([3, 3], 64), values).map(({ data }) => data) as [Int8Array, Float32Array]
  expect([...integers]).toEqual([32, -64, 16, 0, 0, 0, 64, 64, -64])
  values.forEach((value, i) => {
    const scale = scales[Math.floor(i / 3)] as number
    expect(Math.abs((integers[i] as number) * scale - value)).toBeLessThanOrEqual(scale * 0.5001)
  })
})

describe('weights in a file', () => {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-quantize-'))
  afterAll(() => rmSync(dir, { recursive: true }))

  test('are packed and quantised as those in memory, of f16 too', async () => {
    const { ranges } = await calibrated()
    for (const floats of ['f32', 'f16'] as const) {
      const file = join(dir, `${floats}.safetensors`)
      writeSafetensors(file, weights, {}, { floats })
      const stored = { ...computation, weights: openSafetensors(file).tensors }
      for (const quantization of [undefined, { kind: 'int8', ranges }, { kind: 'int4' }] as const) {
        const { y: memory } = await evaluate(computation, feeds[0], { quantization })
        const { y } = await evaluate(stored, feeds[0], { quantization })
        expect(quality(y, memory)).toBeGreaterThan(floats === 'f32' ? 100 : 30)
      }
    }
  })

  test('those of matrix products in 16 bits are widened once, or kept: either way nothing is left to fold', () => {
    const own = new Params()
    const y = linear(own.at('l'), 256, 128)(input('x', [16, 256]))
    for (const floats of ['f32', 'f16'] as const) {
      const file = join(dir, `product-${floats}.safetensors`)
      writeSafetensors(file, own.initialise(random), {}, { floats })
      const graph = { outputs: { y }, weights: openSafetensors(file).tensors }
      const types = [false, true].map((keepHalf) => {
        const { model, packing, foldable } = lower(graph, { target: 'cpu', channelBlock: 8, packs: true, keepHalf })
        expect(foldable).toBe(false)
        return { casts: model.graph.node.filter(({ opType }) => opType === 'Cast').length, packed: packing.length }
      })
      const [plain, widened, kept] = [
        { casts: 0, packed: 0 },
        { casts: 0, packed: 2 },
        { casts: 1, packed: 1 },
      ]
      expect(types).toEqual(floats === 'f32' ? [plain, plain] : [widened, kept])
    }
  })

  test('those that are packed leave no stored ones in the graph', () => {
    const { model, layoutLeft, foldable } = lower(computation, { target: 'cpu', channelBlock: 8, packs: true })
    const names = model.graph.initializer.map(({ name }) => name)
    expect([layoutLeft, foldable]).toEqual([false, false])
    expect(names.filter((name) => name.startsWith('first'))).toEqual(['first.weight', 'first.bias'])
  })
})
