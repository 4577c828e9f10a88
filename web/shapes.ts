import { NdArray } from '../src/runtime/ndarray.ts'
import type { Generator } from '../src/runtime/random.ts'

const turn = 2 * Math.PI

/** Points of each shape from two uniform numbers, a little noise comes on top. */
const shapes = {
  moons: (u: number, v: number) => {
    const angle = Math.PI * v
    const [x, y] = [Math.cos(angle), Math.sin(angle)]
    return u < 0.5 ? [x - 0.5, y - 0.25] : [0.5 - x, 0.25 - y]
  },
  spiral: (u: number) => {
    const angle = 2.5 * turn * Math.sqrt(u)
    return [(Math.cos(angle) * angle) / 11, (Math.sin(angle) * angle) / 11]
  },
  checkerboard: (u: number, v: number) => {
    const [x, y] = [4 * u, 2 * v]
    const row = Math.floor(y) * 2 + (Math.floor(x) % 2)
    return [x / 1.5 - 4 / 3, (row + (y % 1)) / 1.5 - 4 / 3]
  },
  rings: (u: number, v: number) => {
    const radius = [0.35, 0.8, 1.25][Math.floor(3 * u)] as number
    return [radius * Math.cos(turn * v), radius * Math.sin(turn * v)]
  },
} as const satisfies Record<string, (u: number, v: number) => number[]>

export type ShapeName = keyof typeof shapes

/** Points [n, 2] of a shape. */
export function pointsOf(shape: ShapeName, n: number, generator: Generator): NdArray<'f32'> {
  const [uniform, noise] = [generator.rand([n, 2]), generator.randn([n, 2])]
  const spread = shape === 'checkerboard' ? 0 : 0.04
  const points = Float32Array.from({ length: 2 * n }, (_, i) => {
    const [u, v] = [uniform.data[i - (i % 2)] as number, uniform.data[i - (i % 2) + 1] as number]
    return ((shapes[shape](u, v) as number[])[i % 2] as number) + spread * (noise.data[i] as number)
  })
  return new NdArray(points, [n, 2], 'f32')
}
