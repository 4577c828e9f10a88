import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'

/** The share of pictures of which nothing is known: in-painting keeps to draw from texts alone. */
const UNKNOWN = 0.2

/** Where pictures are known, [B, 1, S, S]: all but a rectangle of a quarter to all of each side; nowhere in one of five. */
export function drawnMasks(generator: Generator, count: number, side: number): NdArray<'f32'> {
  const where = new Float32Array(count * side * side).fill(1)
  for (let picture = 0; picture < count; picture++) {
    const [nothing, tall, wide, down, right] = [...generator.rand([5]).data] as [number, number, number, number, number]
    const whole = nothing < UNKNOWN
    const [height, width] = [tall, wide].map((u) => (whole ? side : Math.ceil(side * (0.25 + 0.75 * u)))) as [number, number]
    const [top, left] = [Math.floor(down * (side - height + 1)), Math.floor(right * (side - width + 1))]
    for (let y = top; y < top + height; y++) {
      const row = (picture * side + y) * side
      where.fill(0, row + left, row + left + width)
    }
  }
  return new NdArray(where, [count, 1, side, side], 'f32')
}
