import type { Lowering, Tensor } from '../../graph.ts'
import { range, type Shape } from '../../shape.ts'
import { at } from '../op.ts'
import type { ConvAttrs } from '../window.ts'
import { blocked, canBlock, convolve, gatherRows, permuted, reordered, reshape, unblocked } from './layout.ts'

/*
 * Convolutions whose weights change at every run, on blocked channels:
 *
 *   forward          X · W
 *   input gradient   G · W flipped, inputs and outputs swapped
 *   weight gradient  a convolution too: columns of the picture become the channels that are summed over
 */

/** Forward: x [B, C, H, W] by weight [O, C, h, w], and a bias [O] → [B, O, …], blocked. */
export function blockedConv(b: Lowering, x: Tensor, w: Tensor, attrs: ConvAttrs, bias?: string): string {
  const operands = [blocked(b, x), forwardFilter(b, w)]
  return convolve(b, bias ? [...operands, bias] : operands, w.shape.slice(2), attrs)
}

/** At stride 1: the convolution of g [B, O, …] by the weight [O, C, h, w] flipped and swapped → [B, C, …]. */
export function blockedInputGrad(b: Lowering, g: Tensor, w: Tensor, flipped: ConvAttrs): string {
  return unblocked(b, convolve(b, [blocked(b, g), backwardFilter(b, w)], w.shape.slice(2), flipped), at(w.shape, 1))
}

/** [O, C, h, w] → [O/n, C/n, h, w, n of C, n of O], named by its plain shape. */
function forwardFilter(b: Lowering, w: Tensor): string {
  const [O, C, h, k] = w.shape as [number, number, number, number]
  const n = b.channelBlock
  const fixed = b.packed(w, {
    form: `blocked ${n}`,
    results: [{ type: 'f32', shape: w.shape }],
    fill: (values, [out]) => pack(values, out as Float32Array, [O, C, h * k], n),
  })
  if (fixed) return at(fixed, 0)
  const byOutput = reordered(b, reshape(b, b.value(w), [O / n, n, C * h * k, 1]))
  const rows = gatherRows(b, byOutput, n, permuted(b, [O / n, C / n, n, h * k], [0, 1, 3, 2]))
  return reshape(b, rows, w.shape)
}

/** Packs a fixed weight as `forwardFilter` lays it out, into `out`. */
function pack(values: Float32Array, out: Float32Array, [O, C, taps]: readonly [number, number, number], n: number): void {
  const row = C * taps
  let i = 0
  for (let output = 0; output < O; output += n)
    for (let channel = 0; channel < C; channel += n)
      for (let tap = 0; tap < taps; tap++)
        for (let c = channel; c < channel + n; c++)
          for (let o = 0, at = output * row + c * taps + tap; o < n; o++, at += row) out[i++] = values[at] as number
}

/** [O, C, h, w] → [C/n, O/n, h, w reversed, n of O, n of C], named [C, O, h, w]. */
function backwardFilter(b: Lowering, w: Tensor): string {
  const [O, C, h, k] = w.shape as [number, number, number, number]
  const n = b.channelBlock
  const byInput = reordered(b, reshape(b, b.value(w), [O, C, h * k, 1]))
  const rows = gatherRows(b, byInput, n, permuted(b, [O / n, n, C / n, h * k], [2, 0, 3, 1], [3]))
  return reshape(b, rows, [C, O, h, k])
}

/** How n columns make a block: `images` pictures side by side, or a part of one row. */
function columnBlocks(n: number, batch: number, width: number): { images: number; parts: number; columns: number } | undefined {
  if (width % n === 0) return { images: 1, parts: width / n, columns: n }
  if (n % width === 0 && batch % (n / width) === 0) return { images: n / width, parts: 1, columns: width }
  return undefined
}

export function canBlockWeightGrad(b: Lowering, x: Shape, g: Shape, kernel: Shape, attrs: ConvAttrs): boolean {
  const { before, after, dilation } = attrs
  return (
    canBlock(b, x, [at(g, 1), at(x, 1)], attrs) &&
    columnBlocks(b.channelBlock, at(x, 0), at(g, 3)) !== undefined &&
    dilation.every((d) => d === 1) &&
    at(before, 0) < at(kernel, 0) &&
    at(after, 0) < at(kernel, 0)
  )
}

/**
 * Weight gradient: x [B, C, H, W], g [B, O, H', W'] → [O, C, h, w].
 *
 * As a convolution: g is the picture, its "channels" the (batch, column) pairs, its rows the rows, its columns the O
 * output channels. x is the filter, once for each column of the kernel, shifted: as many filters as (kernel column, C)
 * pairs, each H rows high. At stride 1 the rows of the result are then the rows of the kernel, from the last to the
 * first; at other strides each row of the kernel gets filters of its own and the result has one row.
 */
export function blockedWeightGrad(b: Lowering, x: Tensor, g: Tensor, kernel: Shape, attrs: ConvAttrs): string {
  const n = b.channelBlock
  const [B, C, H] = x.shape as [number, number, number]
  const [, O, rows, columns] = g.shape as [number, number, number, number]
  const [h, w] = kernel as [number, number]
  const slides = attrs.stride.every((s) => s === 1)
  const { images, parts, columns: width } = columnBlocks(n, B, columns) as { images: number; parts: number; columns: number }
  const depth = B * columns

  const order = permuted(b, [B / images, images, O, rows, parts], [0, 4, 3, 2, 1])
  const picture = reshape(b, gatherRows(b, b.value(g), width, order), [1, depth, rows, O])

  const taps = slides ? range(w).map((k) => [0, k] as const) : range(h).flatMap((r) => range(w).map((k) => [r, k] as const))
  const height = slides ? H : rows
  const filters = reshape(b, shiftedRows(b, x, taps, height, { ...attrs, slides }, { images, parts, width }), [
    taps.length * C,
    depth,
    height,
    1,
  ])

  const [top, bottom] = slides ? [h - 1 - at(attrs.before, 0), h - 1 - at(attrs.after, 0)] : [0, 0]
  const y = convolve(b, [picture, filters], [height, 1], {
    stride: [1, 1],
    dilation: [1, 1],
    before: [top, 0],
    after: [bottom, 0],
    groups: 1,
  })

  // y lies as [taps, C/n, result rows, O, n of C]; wanted [O, C/n, h, w, n of C], which is then unblocked.
  const blocks = slides ? permuted(b, [w, C / n, h, O], [3, 1, 2, 0], [2]) : permuted(b, [h, w, C / n, O], [3, 2, 0, 1])
  return unblocked(b, reshape(b, gatherRows(b, y, n, blocks), [O, C, h, w]), C)
}

/** Rows of n channels of x in the layout of filters [tap, C/n, B/images·parts, height, images·width, n], zeros outside x. */
function shiftedRows(
  b: Lowering,
  x: Tensor,
  taps: readonly (readonly [number, number])[],
  height: number,
  { stride, before, slides }: ConvAttrs & { slides: boolean },
  { images, parts, width }: { images: number; parts: number; width: number },
): string {
  const n = b.channelBlock
  const [B, C, H, W] = x.shape as [number, number, number, number]
  const [groups, outside] = [C / n, (B * C * H * W) / n]
  const index = new Int32Array(taps.length * groups * B * parts * width * height)
  let i = 0
  for (const [tapRow, tapColumn] of taps)
    for (let group = 0; group < groups; group++)
      for (let image = 0; image < B; image += images)
        for (let part = 0; part < parts; part++)
          for (let row = 0; row < height; row++) {
            const r = slides ? row : row * at(stride, 0) + tapRow - at(before, 0)
            for (let k = image; k < image + images; k++)
              for (let column = part * width; column < (part + 1) * width; column++) {
                const c = column * at(stride, 1) + tapColumn - at(before, 1)
                index[i++] = r < 0 || r >= H || c < 0 || c >= W ? outside : ((k * groups + group) * H + r) * W + c
              }
          }
  const zeros = b.emit('Expand', [b.scalar(0, x.dtype), b.ints([1, n])])
  const padded = b.cached(x, 'blocked rows', () => b.emit('Concat', [reshape(b, blocked(b, x), [-1, n]), zeros], { axis: 0 }))
  return gatherRows(b, padded, n, index)
}
