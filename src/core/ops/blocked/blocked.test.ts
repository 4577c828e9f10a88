import { describe, expect, it } from 'vitest'
import { channelBlock, evaluate, type NdArray, State } from '../../../runtime/index.ts'
import { Generator } from '../../../runtime/random.ts'
import { concat, conv, groupNorm } from '../../functions.ts'
import { vjp } from '../../grad.ts'
import { lower } from '../../onnx/lower.ts'
import { input, parameter, type Tensor } from '../../tensor.ts'

interface Case {
  readonly name: string
  readonly x: readonly [B: number, C: number, H: number, W: number]
  readonly outputs: number
  readonly kernel: number
  readonly stride?: number
  readonly padding?: readonly (readonly [number, number])[]
  /** Products of this form must be in the graph. */
  readonly winograd?: boolean
}

const cases: Case[] = [
  { name: '3×3 on wide rows', x: [2, 16, 16, 32], outputs: 32, kernel: 3 },
  { name: '3×3 where blocks join pictures', x: [4, 32, 8, 8], outputs: 16, kernel: 3 },
  { name: '3×3 on four columns', x: [8, 32, 4, 4], outputs: 48, kernel: 3 },
  { name: '1×1', x: [2, 16, 16, 16], outputs: 32, kernel: 1 },
  { name: '5×5', x: [2, 16, 16, 16], outputs: 16, kernel: 5 },
  { name: 'stride 2', x: [2, 16, 32, 32], outputs: 32, kernel: 3, stride: 2 },
  {
    name: 'stride 2, padded after',
    x: [2, 16, 32, 32],
    outputs: 16,
    kernel: 3,
    stride: 2,
    padding: [
      [0, 1],
      [0, 1],
    ],
  },
  {
    name: 'uneven padding',
    x: [2, 16, 16, 32],
    outputs: 16,
    kernel: 3,
    padding: [
      [0, 2],
      [1, 1],
    ],
  },
  { name: 'Winograd', x: [2, 64, 16, 16], outputs: 80, kernel: 3, winograd: true },
  { name: 'Winograd on an oblong', x: [1, 80, 16, 32], outputs: 64, kernel: 3, winograd: true },
]

/** Forward and both gradients by their definition, in float64. */
function reference(x: NdArray, w: NdArray, g: NdArray, stride: number, pads: readonly (readonly [number, number])[]) {
  const [top, left] = pads.map(([before]) => before) as [number, number]
  const [B, C, H, W] = x.shape as [number, number, number, number]
  const [O, , K, L] = w.shape as [number, number, number, number]
  const [, , P, Q] = g.shape as [number, number, number, number]
  const [X, F, G] = [x.data, w.data, g.data] as Float32Array[] as [Float32Array, Float32Array, Float32Array]
  const out = { y: new Float64Array(g.size), gx: new Float64Array(x.size), gw: new Float64Array(w.size) }
  for (let b = 0; b < B; b++)
    for (let o = 0; o < O; o++)
      for (let c = 0; c < C; c++)
        for (let k = 0; k < K; k++)
          for (let l = 0; l < L; l++) {
            const wi = ((o * C + c) * K + k) * L + l
            for (let p = 0; p < P; p++) {
              const row = p * stride + k - top
              if (row < 0 || row >= H) continue
              for (let q = 0; q < Q; q++) {
                const column = q * stride + l - left
                if (column < 0 || column >= W) continue
                const [xi, yi] = [((b * C + c) * H + row) * W + column, ((b * O + o) * P + p) * Q + q]
                out.y[yi]! += X[xi]! * F[wi]!
                out.gx[xi]! += G[yi]! * F[wi]!
                out.gw[wi]! += G[yi]! * X[xi]!
              }
            }
          }
  return out
}

function relativeError(a: ArrayLike<number>, b: Float64Array): number {
  let [error, size] = [0, 0]
  for (let i = 0; i < b.length; i++) {
    error = Math.max(error, Math.abs(a[i]! - b[i]!))
    size = Math.max(size, Math.abs(b[i]!))
  }
  return error / size
}

describe('convolutions on blocked channels, weights as state', () => {
  it.each(cases)('$name', async ({ x: shape, outputs, kernel, stride = 1, padding, winograd = false }) => {
    const pads = padding ?? [0, 1].map(() => [(kernel - 1) >> 1, (kernel - 1) >> 1] as const)
    const [x, w] = [input('x', shape), parameter('w', [outputs, shape[1], kernel, kernel])]
    const y = conv(x, w, { stride, padding: pads })
    const g = input('g', y.shape)
    const [gx, gw] = vjp([y], [x, w], [g]) as [typeof x, typeof x]
    const random = new Generator(1)
    const values = { x: random.randn(shape), g: random.randn(y.shape) }
    const weight = random.randn(w.shape)
    const found = await evaluate({ outputs: { y, gx, gw }, state: await State.from([['w', weight]]) }, values)
    const expected = reference(values.x, weight, values.g, stride, pads)
    for (const name of ['y', 'gx', 'gw'] as const) {
      expect(relativeError(found[name]!.data as Float32Array, expected[name]), name).toBeLessThan(3e-6)
    }

    const block = await channelBlock()
    const { model } = lower({ outputs: { y, gx, gw } }, { target: 'cpu', channelBlock: block })
    const blockedNodes = model.graph.node.filter(({ domain, opType }) => domain === 'com.microsoft.nchwc' && opType === 'Conv')
    if (block > 0) expect(blockedNodes.length).toBeGreaterThanOrEqual(winograd ? 3 * 32 : 2)
  })

  it.each(cases.concat({ name: 'Winograd on 32×32', x: [1, 64, 32, 32], outputs: 64, kernel: 3, winograd: true }))(
    'with a fixed weight: $name',
    async ({ x: shape, outputs, kernel, stride = 1, padding }) => {
      const pads = padding ?? [0, 1].map(() => [(kernel - 1) >> 1, (kernel - 1) >> 1] as const)
      const [x, w] = [input('x', shape), parameter('w', [outputs, shape[1], kernel, kernel])]
      const [y, bias] = [conv(x, w, { stride, padding: pads }), parameter('b', [outputs])]
      const random = new Generator(2)
      const [value, weight, shift] = [random.randn(shape), random.randn(w.shape), random.randn([outputs])]
      const expected = reference(value, weight, random.randn(y.shape), stride, pads).y
      const weights = new Map([
        ['w', weight],
        ['b', shift],
      ])
      const found = await evaluate({ outputs: { y: conv(x, w, { stride, padding: pads, bias }) }, weights }, { x: value })
      const shifted = expected.map(
        (v, i) => v + (shift.data[Math.floor(i / (y.size / (shape[0] * outputs))) % outputs] as number),
      )
      expect(relativeError(found.y!.data as Float32Array, shifted)).toBeLessThan(3e-6)
    },
  )

  it('falls back to the plain kernels where channels do not fill blocks', () => {
    const y = conv(input('x', [1, 3, 8, 8]), parameter('w', [20, 3, 3, 3]), { padding: 1 })
    const { model } = lower({ outputs: { y } }, { target: 'cpu', channelBlock: 16 })
    expect(model.graph.node.map(({ opType }) => opType)).toEqual(['Conv', 'Identity'])
  })
})

describe('between convolutions', () => {
  /** Two residual blocks' worth of what stands between convolutions, and the values of its parameters. */
  function network(side: number) {
    const random = new Generator(3)
    const weights = new Map<string, NdArray>()
    const parameterOf = (name: string, shape: readonly number[], mean = 0, spread = 1) => {
      weights.set(name, random.randn(shape).mul(spread).add(mean))
      return parameter(name, shape)
    }
    const layer = (name: string, x: Tensor, mean = 0) => {
      const inputs = x.shape[1] as number
      const weight = parameterOf(`${name}.weight`, [32, inputs, 3, 3], 0, 1 / Math.sqrt(9 * inputs))
      return conv(x, weight, { padding: 1, bias: parameterOf(`${name}.bias`, [32], mean) })
    }
    const norm = (name: string, x: Tensor) => {
      const shape = [x.shape[1] as number]
      return groupNorm(x, 8, parameterOf(`${name}.weight`, shape, 1), parameterOf(`${name}.bias`, shape)).silu()
    }
    const [x, times] = [input('x', [2, 32, side, side]), input('times', [2, 32, 1, 1])]
    // Means far from zero, where squares would lose what they differ by.
    const first = layer('first', x, 100)
    const second = layer('second', norm('norm1', first.add(times)))
    const sum = second.add(first)
    const third = layer('third', norm('norm2', concat([sum, second], 1)))
    const half = third.add(input('other', third.shape)).mul(0.5)
    const feeds = { x: random.randn(x.shape), times: random.randn(times.shape), other: random.randn(half.shape) }
    return { outputs: { third, half }, weights, feeds }
  }

  it('values stay on blocked channels, and are those of the plain kernels', async () => {
    const { outputs, weights, feeds } = network(8)
    // As state: in training nothing is chained.
    const plain = await evaluate({ outputs, state: await State.from([...weights]) }, feeds)
    const found = await evaluate({ outputs, weights }, feeds)
    for (const name of ['third', 'half'] as const)
      expect(relativeError(found[name]?.data as Float32Array, Float64Array.from(plain[name]?.data as Float32Array))).toBeLessThan(
        1e-5,
      )

    const types = graphOf(outputs, weights)
    expect(types.filter((type) => type === 'InstanceNormalization')).toEqual([])
    // What comes from outside, and what leaves.
    expect(types.filter((type) => type === 'ReorderInput')).toHaveLength(2)
    expect(types.filter((type) => type === 'ReorderOutput')).toHaveLength(2)
  })

  it('the norm of a large picture is the plain one', () => {
    const { outputs, weights } = network(72)
    expect(graphOf(outputs, weights).filter((type) => type === 'InstanceNormalization')).toHaveLength(2)
  })

  /** Types of nodes, with the filters packed as `compile` does it. */
  const graphOf = (outputs: Readonly<Record<string, Tensor>>, weights: ReadonlyMap<string, NdArray>) => {
    return lower({ outputs, weights }, { target: 'cpu', channelBlock: 8, packs: true }).model.graph.node.map(
      ({ opType }) => opType,
    )
  }
})
