import type { TypedArray } from '../core/dtype.ts'

/*
 * The loops of `NdArray`, over plain memory.
 */

/** One number of n elements that lie together. */
export type Reduction = (x: Float32Array, from: number, n: number) => number

export const sum: Reduction = (x, from, n) => {
  let total = 0
  for (let i = from; i < from + n; i++) total += x[i] as number
  return total
}

export const deviation =
  (correction: number): Reduction =>
  (x, from, n) => {
    const mean = sum(x, from, n) / n
    let squares = 0
    for (let i = from; i < from + n; i++) squares += ((x[i] as number) - mean) ** 2
    return Math.sqrt(squares / (n - correction))
  }

export const largest: Reduction = (x, from, n) => {
  let best = -Infinity
  for (let i = from; i < from + n; i++) best = Math.max(best, x[i] as number)
  return best
}

export const quantile =
  (q: number): Reduction =>
  (x, from, n) => {
    const sorted = x.slice(from, from + n).sort()
    const at = Math.fround(q) * (n - 1)
    const low = sorted[Math.floor(at)] as number
    return low + (at - Math.floor(at)) * ((sorted[Math.ceil(at)] as number) - low)
  }

export const length: Reduction = (x, from, n) => {
  let squares = 0
  for (let i = from; i < from + n; i++) squares += (x[i] as number) ** 2
  return Math.sqrt(squares)
}

/** [n, k] · [k, m] → [n, m], summed in float64. */
export function product(
  a: Float32Array,
  b: Float32Array,
  [n, k, m]: readonly [number, number, number],
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(n * m)
  const row = new Float64Array(m)
  for (let i = 0; i < n; i++) {
    row.fill(0)
    for (let l = 0; l < k; l++) {
      const scale = a[i * k + l] as number
      for (let j = 0; j < m; j++) row[j] = (row[j] as number) + scale * (b[l * m + j] as number)
    }
    out.set(row, i * m)
  }
  return out
}

/** Copies elements out by strides. */
export function gatherInto(out: TypedArray, from: TypedArray, shape: readonly number[], strides: readonly number[]): void {
  const last = shape.length - 1
  const [run, step] = [shape[last] ?? 1, strides[last] ?? 1]
  const index = new Array(shape.length).fill(0)
  let first = 0
  for (let at = 0; at < out.length; at += run) {
    for (let i = 0; i < run; i++) out[at + i] = from[first + i * step] as never
    for (let axis = last - 1; axis >= 0; axis--) {
      first += strides[axis] as number
      if (++index[axis] < (shape[axis] as number)) break
      first -= index[axis] * (strides[axis] as number)
      index[axis] = 0
    }
  }
}

/** Joins arrays, each of `outer` rows, row by row. */
export function joinInto(out: TypedArray, arrays: readonly TypedArray[], outer: number): void {
  let offset = 0
  for (const array of arrays) {
    const run = array.length / outer
    for (let i = 0; i < outer; i++) out.set(array.subarray(i * run, (i + 1) * run) as never, offset + (i * out.length) / outer)
    offset += run
  }
}

/** Copies `run` elements of each row, beginning at its element `from`. */
export function cutInto(
  out: TypedArray,
  data: TypedArray,
  { row, from, run }: { readonly row: number; readonly from: number; readonly run: number },
): void {
  for (let i = 0; i * run < out.length; i++) out.set(data.subarray(i * row + from, i * row + from + run) as never, i * run)
}
