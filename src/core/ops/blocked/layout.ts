import type { Lowering, Tensor } from '../../graph.ts'
import { type Shape, sizeOf } from '../../shape.ts'
import { at } from '../op.ts'
import type { ConvAttrs } from '../window.ts'

/*
 * ONNX Runtime's fastest CPU kernels work on blocks of channels: [B, C/n, H, W, n] with n channels side by side (16 with
 * AVX-512). ONNX Runtime chooses them only for convolutions with constant weights, so never in training. Here its
 * operators are written into the graph directly, and the graph reorders the weights.
 *
 * Reorders move whole rows of n floats (Gather) or run in ONNX Runtime's own reorder kernels, never through a general
 * transpose, which costs ten times as much.
 */

const BLOCKED = 'com.microsoft.nchwc'

/** Whether a convolution of two spatial axes can run on blocked channels. */
export function canBlock(b: Lowering, x: Shape, w: Shape, { groups }: ConvAttrs): boolean {
  const n = b.channelBlock
  return n > 0 && x.length === 4 && groups === 1 && at(w, 0) % n === 0 && at(w, 1) % n === 0
}

/** Larger fixed weights are used as their file stores them: packing them would make a copy. */
export const MOST_WEIGHTS_FIXED = 7 * 2 ** 20

/**
 * Whether packing a fixed weight pays for a result y [B, O, H, W]. The deepest levels, which hold most of a large network's
 * weights, gain least: from 8×8 down only smaller weights are packed.
 */
export const paysToBlock = (y: Shape, w: Shape): boolean => {
  const pixels = at(y, 2) * at(y, 3)
  return pixels > 64 || (pixels >= 16 && sizeOf(w) <= MOST_WEIGHTS_FIXED)
}

/** [B, C, …] → [B, C/n, …, n]. */
export const reordered = (b: Lowering, x: string) => b.emit('ReorderInput', [x], {}, BLOCKED)
export const blocked = (b: Lowering, x: Tensor) => b.cached(x, 'blocked', () => reordered(b, b.value(x)))
/** The result of `blocked`, where the graph has it already. */
export const knownBlocked = (b: Lowering, x: Tensor) => b.known(x, 'blocked')
/** Makes a value that was calculated on blocked channels the result of `blocked`. */
export const keepBlocked = (b: Lowering, x: Tensor, form: string) => b.cached(x, 'blocked', () => form)
export const unblocked = (b: Lowering, x: string, channels: number) => b.emit('ReorderOutput', [x], { channels }, BLOCKED)
export const reshape = (b: Lowering, x: string, shape: Shape) => b.emit('Reshape', [x, b.ints(shape)])

/** Rows of `width` elements in a new order; `index` is row numbers in an array of the shape given. */
export function gatherRows(b: Lowering, x: string, width: number, index: Int32Array): string {
  const rows = reshape(b, x, [-1, width])
  return b.emit('Gather', [rows, b.constant(index, 'i32', [index.length])], { axis: 0 })
}

/**
 * The numbers 0 … of a row-major array of this shape, read in the order of the axes given. Layers of one shape share a
 * graph's table.
 */
export function permuted(b: Lowering, shape: Shape, perm: readonly number[], reversed: readonly number[] = []): Int32Array {
  const known = tables.get(b) ?? new Map<string, Int32Array>()
  tables.set(b, known)
  const key = [shape, perm, reversed].join(' ')
  const table = known.get(key) ?? permutation(shape, perm, reversed)
  known.set(key, table)
  return table
}

const tables = new WeakMap<Lowering, Map<string, Int32Array>>()

function permutation(shape: Shape, perm: readonly number[], reversed: readonly number[]): Int32Array {
  const strides = shape.map((_, i) => sizeOf(shape.slice(i + 1)))
  let index = Int32Array.of(0)
  for (const axis of perm) {
    const [n, stride] = [at(shape, axis), at(strides, axis)]
    const next = new Int32Array(index.length * n)
    for (let i = 0; i < index.length; i++) {
      for (let k = 0; k < n; k++) {
        next[i * n + k] = (index[i] as number) + stride * (reversed.includes(axis) ? n - 1 - k : k)
      }
    }
    index = next
  }
  return index
}

/** The mean of every channel of a blocked picture [B, C, H, W] → [B, C, 1, 1]. */
export const channelMeans = (b: Lowering, x: string) => b.emit('GlobalAveragePool', [x], {}, BLOCKED)

/** The engine's convolution of a blocked picture by a blocked filter, and a plain bias [O] if any. */
export function convolve(
  b: Lowering,
  operands: string[],
  kernel: Shape,
  { stride, dilation, before, after, groups }: ConvAttrs,
): string {
  const attributes = { kernel_shape: kernel, strides: stride, dilations: dilation, pads: [...before, ...after], group: groups }
  return b.emit('Conv', operands, attributes, BLOCKED)
}
