import { bytesPer } from '../core/dtype.ts'
import { sizeOf } from '../core/shape.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { FileTensor, Weights } from '../runtime/weights.ts'
import { readTensor } from './safetensors.ts'
import type { UnetLayout } from './single-file-keys.ts'

export type Value = NdArray | FileTensor

/** One more than the greatest number that a pattern finds in the keys. */
export function levelsOf(keys: Iterable<string>, pattern: RegExp): number {
  let most = 0
  for (const key of keys) most = Math.max(most, 1 + Number(pattern.exec(key)?.[1] ?? -1))
  return most
}

/** The first downsampler stands behind the first level's blocks. */
export function layoutOf(weights: Weights, sizes: boolean): UnetLayout {
  const down = [...weights.keys()].flatMap((key) => /input_blocks\.(\d+)\.0\.op\.weight$/.exec(key)?.[1] ?? [])
  const layers = down.length > 0 ? Math.min(...down.map(Number)) - 1 : 2
  return { layers, sizes, attended: new Set() }
}

export function layoutBack(weights: Weights): UnetLayout {
  const keys = [...weights.keys()]
  const attended = new Set(keys.flatMap((key) => /^up_blocks\.(\d+)\.attentions\./.exec(key)?.[1] ?? []).map(Number))
  const layers = levelsOf(keys, /^down_blocks\.0\.resnets\.(\d+)\./)
  return { layers, sizes: weights.has('add_embedding.linear_1.weight'), attended }
}

/** The same elements in another shape. */
const shaped = (value: Value, shape: readonly number[]): Value =>
  'file' in value ? { ...value, shape } : new NdArray(value.data, shape, value.dtype)

/** A 1×1 convolution as a linear layer. */
export const flattened = (value: Value): Value => (value.shape.length > 2 ? shaped(value, value.shape.slice(0, 2)) : value)
export const unflattened = (value: Value): Value => shaped(value, [...value.shape, 1, 1])

/** The first, second or last third of the rows. */
export function third(value: Value, which: number): Value {
  const rows = (value.shape[0] as number) / 3
  const shape = [rows, ...value.shape.slice(1)]
  const size = sizeOf(shape)
  if ('file' in value) return { ...value, shape, offset: value.offset + which * size * bytesPer[value.dtype] }
  return new NdArray(value.data.slice(which * size, (which + 1) * size) as never, shape, value.dtype)
}

export function transposed(value: Value): NdArray {
  const { data, shape, dtype } = readTensor(value)
  const [rows, columns] = shape as [number, number]
  const out = NdArray.zeros([columns, rows], dtype)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out.data[j * rows + i] = data[i * columns + j] as never
  return out
}

export const rows = (weights: Weights, key: string): number => weights.get(key)?.shape[0] as number
export const columns = (weights: Weights, key: string): number => weights.get(key)?.shape[1] as number

/** One more than the greatest number that a pattern finds in the keys. */
export function count(weights: Weights, pattern: RegExp): number {
  let most = 0
  for (const key of weights.keys()) most = Math.max(most, 1 + Number(pattern.exec(key)?.[1] ?? -1))
  return most
}
