import type { Lowering, Tensor } from '../../graph.ts'
import { range, type Shape, sizeOf } from '../../shape.ts'
import { at } from '../op.ts'
import type { ConvAttrs } from '../window.ts'
import { blocked, canBlock, convolve, gatherRows, MOST_WEIGHTS_FIXED, permuted, reordered, reshape, unblocked } from './layout.ts'

/*
 * 3×3 convolutions with 4/9 of the multiplications: Winograd's F(2×2, 3×3) (Lavin and Gray 2016, §4.1) on blocked
 * channels. Each 2×2 tile of the result comes from 16 products Aᵀ[(G w Gᵀ) ⊙ (Bᵀ d B)]A. All tiles of one of the 16
 * places are one 1×1 convolution; a row of Bᵀ has two entries, so each place of Bᵀ d B is a depthwise 2×2 convolution
 * of stride 2 whose dilation reaches the two pixels. Against float64 the error is that of the direct form.
 */

/** Rows of Bᵀ: the first pixel, how far the second is, and the two factors. */
const inputRows = [
  { first: 0, reach: 2, factors: [1, -1] },
  { first: 1, reach: 1, factors: [1, 1] },
  { first: 1, reach: 1, factors: [-1, 1] },
  { first: 1, reach: 2, factors: [1, -1] },
] as const

/** G: three taps to four places. */
const tapRows = [
  [1, 0, 0],
  [0.5, 0.5, 0.5],
  [0.5, -0.5, 0.5],
  [0, 0, 1],
] as const
/** Its last row negated: a minus of Aᵀ that the sums of `tiles` leave to the filters. */
const signedRows = tapRows.map(([x, y, z], i) => (i === 3 ? ([-x, -y, -z] as const) : ([x, y, z] as const)))

/** Below 16×16 pictures the transforms cost more than they save. */
const LEAST_PIXELS = 256
const LEAST_CHANNELS = 64

/** Whether x [B, C, H, W] by w [O, C, 3, 3] pays in this form. */
export function canWinograd(b: Lowering, x: Shape, w: Shape, attrs: ConvAttrs, fixed = false): boolean {
  const [, C, H, W] = x as [number, number, number, number]
  return (
    canBlock(b, x, w, attrs) &&
    w[2] === 3 &&
    w[3] === 3 &&
    [...attrs.stride, ...attrs.dilation, ...attrs.before, ...attrs.after].every((n) => n === 1) &&
    H % 2 === 0 &&
    W % 2 === 0 &&
    H * W >= LEAST_PIXELS &&
    Math.min(C, at(w, 0)) >= LEAST_CHANNELS &&
    // Filters of fixed weights take 16/9 of the memory.
    (!fixed || sizeOf(w) <= MOST_WEIGHTS_FIXED)
  )
}

export const canWinogradWeightGrad = (b: Lowering, x: Shape, g: Shape, kernel: Shape, attrs: ConvAttrs): boolean =>
  canWinograd(b, x, [at(g, 1), at(x, 1), ...kernel], attrs) && (at(x, 0) * at(x, 2) * at(x, 3)) % (4 * b.channelBlock) === 0

const pointwise = { stride: [1, 1], dilation: [1, 1], before: [0, 0], after: [0, 0], groups: 1 }

/** x [B, C, H, W] by w [O, C, 3, 3], and a bias [O] → [B, O, H, W], blocked. */
export const winogradConv = (b: Lowering, x: Tensor, w: Tensor, bias?: string): string =>
  tiles(b, x, at(w.shape, 0), forwardTaps(b, w), bias)

/** g [B, O, H, W] by the transpose of w [O, C, 3, 3] → [B, C, H, W]. */
export const winogradInputGrad = (b: Lowering, g: Tensor, w: Tensor): string =>
  unblocked(b, tiles(b, g, at(w.shape, 1), backwardTaps(b, w)), at(w.shape, 1))

function tiles(b: Lowering, x: Tensor, outputs: number, filters: readonly string[], bias?: string): string {
  const n = b.channelBlock
  const [B, C, H, W] = x.shape as [number, number, number, number]
  const picture = blocked(b, x)
  const product = (place: number, ...more: string[]) =>
    convolve(b, [inputPlace(b, picture, C, place), filters[place] as string, ...more], [1, 1], pointwise)
  // Down the columns: the outer two products are added to the inner ones by their own convolutions.
  const columns = range(4).map((column) => {
    // Place (1, 1) enters all four results with factor 1, so the bias can ride on it.
    const first = column === 1 && bias ? product(5, bias) : product(4 + column)
    const second = product(8 + column)
    const [sum, difference] = [b.emit('Add', [first, second]), b.emit('Sub', [first, second])]
    return [product(column, '', sum), product(12 + column, '', difference)] as const
  })
  const results = [0, 1].flatMap((row) =>
    outputPair(
      b,
      columns.map((pair) => at(pair, row)),
    ),
  )
  const stacked = b.emit('Concat', results, { axis: 0 })
  const order = permuted(b, [2, 2, B, outputs / n, H / 2, W / 2], [2, 3, 4, 0, 5, 1])
  return reshape(b, gatherRows(b, stacked, n, order), [B, outputs, H, W])
}

/** One of the 16 places of Bᵀ d B for every tile of a blocked picture of `channels`: [.., H, W] → [.., H/2, W/2]. */
function inputPlace(b: Lowering, picture: string, channels: number, place: number): string {
  const n = b.channelBlock
  const [row, column] = [at(inputRows, Math.floor(place / 4)), at(inputRows, place % 4)]
  const factors = row.factors.flatMap((r) => column.factors.flatMap((c) => Array<number>(n).fill(r * c)))
  const filter = Float32Array.from({ length: channels * 4 }, (_, i) => factors[i % factors.length] as number)
  const after = [row, column].map(({ first, reach }) => (first === 1 && reach === 2 ? 1 : 0))
  return convolve(b, [picture, b.constant(filter, 'f32', [channels, 1, 2, 2])], [2, 2], {
    stride: [2, 2],
    dilation: [row.reach, column.reach],
    before: [1 - row.first, 1 - column.first],
    after,
    groups: channels,
  })
}

/** Aᵀ of four values: m0 + m1 + m2 and m1 − m2 − m3. */
function outputPair(b: Lowering, [m0, m1, m2, m3]: readonly string[]): [string, string] {
  const [sum, difference] = [b.emit('Add', [m1, m2] as string[]), b.emit('Sub', [m1, m2] as string[])]
  return [b.emit('Add', [m0 as string, sum]), b.emit('Sub', [difference, m3 as string])]
}

/** G ⊗ G [16, 9], the rows signed, times the nine taps of blocked filters [9, …], split into 16 filters of the shape given. */
function transformedTaps(b: Lowering, taps: string, shape: Shape): string[] {
  const kronecker = signedRows.flatMap((r) => tapRows.map((c) => r.flatMap((x) => c.map((y) => x * y))))
  const matrix = b.constant(Float32Array.from(kronecker.flat()), 'f32', [16, 9])
  const places = b.emit('MatMul', [matrix, reshape(b, taps, [9, sizeOf(shape)])])
  return range(16).map((i) => reshape(b, b.emit('Slice', [places, b.ints([i]), b.ints([i + 1]), b.ints([0])]), [...shape, 1, 1]))
}

/** w [O, C, 3, 3] → 16 filters [O/n, C/n, n of C, n of O]. */
function forwardTaps(b: Lowering, w: Tensor): readonly string[] {
  const [O, C] = w.shape as [number, number]
  const n = b.channelBlock
  const fixed = b.packed(w, {
    form: `winograd ${n}`,
    results: range(16).map(() => ({ type: 'f32', shape: [O, C, 1, 1] })),
    fill: (values, places) => pack(values, places as readonly Float32Array[], [O, C], n),
  })
  if (fixed) return fixed
  const byOutput = reordered(b, reshape(b, b.value(w), [O / n, n, C * 9, 1]))
  return transformedTaps(b, gatherRows(b, byOutput, n, permuted(b, [O / n, C / n, n, 9], [3, 0, 1, 2])), [O, C])
}

/** Packs a fixed weight as `forwardTaps` lays it out: block of outputs by block, whose weights stay in the cache, one row of places at a time. */
function pack(values: Float32Array, places: readonly Float32Array[], [O, C]: readonly [number, number], n: number): void {
  for (let output = 0; output < O; output += n)
    for (const [row, [top, middle, bottom]] of signedRows.entries()) {
      const [first, second, third, last] = places.slice(4 * row) as [Float32Array, Float32Array, Float32Array, Float32Array]
      const column = (i: number) =>
        top * (values[i] as number) + middle * (values[i + 3] as number) + bottom * (values[i + 6] as number)
      let i = output * C
      for (let channel = 0; channel < C; channel += n)
        for (let c = channel; c < channel + n; c++)
          for (let o = output; o < output + n; o++, i++) {
            const tap = (o * C + c) * 9
            const left = column(tap)
            const center = column(tap + 1)
            const right = column(tap + 2)
            first[i] = left
            second[i] = (left + center + right) / 2
            third[i] = (left - center + right) / 2
            last[i] = right
          }
    }
}

/** w [O, C, 3, 3], its taps reversed → 16 filters [C/n, O/n, n of O, n of C]. */
function backwardTaps(b: Lowering, w: Tensor): string[] {
  const [O, C] = w.shape as [number, number]
  const n = b.channelBlock
  const byInput = reordered(b, reshape(b, b.value(w), [O, C, 9, 1]))
  return transformedTaps(b, gatherRows(b, byInput, n, permuted(b, [O / n, n, C / n, 9], [3, 2, 0, 1], [3])), [C, O])
}

/**
 * Weight gradient: x, g [B, C or O, H, W] → [O, C, 3, 3], by the transposed algorithm Gᵀ[(A g Aᵀ) ⊙ (Bᵀ d B)]G. At each
 * of the 16 places, tiles are what is summed over: the channels of a 1×1 convolution with g's tiles as its picture and
 * x's as its filter.
 */
export function winogradWeightGrad(b: Lowering, x: Tensor, g: Tensor): string {
  const n = b.channelBlock
  const [B, C, H, W] = x.shape as [number, number, number, number]
  const O = at(g.shape, 1)
  const count = (B * H * W) / 4

  // x as [C/n, B·n, H, W]: one picture for each block of channels, whose places are then filters [C, count, 1, 1].
  const byBlock = gatherRows(b, blocked(b, x), H * W * n, permuted(b, [B, C / n], [1, 0]))
  const picture = reshape(b, byBlock, [C / n, B * n, H, W])

  // g as [phase row, phase column, count/n, O, n of count]: four pictures, count channels, O/n rows of n columns.
  const tile = permuted(b, [B, O / n, H / 2, 2, W / 2, 2], [3, 5, 0, 2, 4, 1])
  const inBlocks = interleaved(b, tile, [4, count / n, n, O / n])
  const phases = reordered(b, reshape(b, gatherRows(b, blocked(b, g), n, inBlocks), [(4 * count * O) / (n * n), n, n, 1]))
  const [p00, p01, p10, p11] = range(4).map((i) =>
    reshape(b, b.emit('Slice', [reshape(b, phases, [4, count * O]), b.ints([i]), b.ints([i + 1]), b.ints([0])]), [
      1,
      count,
      O / n,
      n,
    ]),
  ) as [string, string, string, string]

  const [left, right] = [spreadPair(b, p00, p10), spreadPair(b, p01, p11)]
  const products = range(4).flatMap((row) =>
    spreadPair(b, at(left, row), at(right, row)).map((cotangent, column) => {
      const filter = reshape(b, inputPlace(b, picture, B * n, row * 4 + column), [C, count, 1, 1])
      return convolve(b, [cotangent, filter], [1, 1], pointwise)
    }),
  )

  // A's last row is (0, −1); the sign that spreadPair leaves out stands here.
  const kronecker = range(9).map((tap) =>
    range(16).map(
      (place) => at(at(signedRows, Math.floor(place / 4)), Math.floor(tap / 3)) * at(at(signedRows, place % 4), tap % 3),
    ),
  )
  const stacked = reshape(b, b.emit('Concat', products, { axis: 0 }), [16, C * O])
  const taps = b.emit('MatMul', [b.constant(Float32Array.from(kronecker.flat()), 'f32', [9, 16]), stacked])
  return unblocked(b, reshape(b, gatherRows(b, taps, n, permuted(b, [9, C / n, O], [2, 1, 0])), [O, C, 3, 3]), C)
}

/** A of two values: u, u + v, u − v, and v for −v. */
const spreadPair = (b: Lowering, u: string, v: string): [string, string, string, string] => [
  u,
  b.emit('Add', [u, v]),
  b.emit('Sub', [u, v]),
  v,
]

/** Entries of an index in the order of another shape with its last two axes swapped. */
function interleaved(b: Lowering, index: Int32Array, shape: Shape): Int32Array {
  return permuted(b, shape, [0, 1, 3, 2]).map((i) => index[i] as number)
}
