import { viewOf } from '../core/dtype.ts'
import { packInMemory } from '../core/onnx/fill.ts'
import type { Lowered } from '../core/onnx/lower.ts'
import { bytesOfStored, embedded } from '../core/onnx/stored.ts'
import type { StoredValue } from '../core/onnx/types.ts'
import { sizeOf } from '../core/shape.ts'
import type { Backend, Filled } from './backend.ts'
import { widened } from './widen.ts'

/**
 * Fills in a graph's weights in memory, one after the other, from wherever `readRange` gets their bytes: for backends that
 * cannot map files.
 */
export async function fillByRange(
  { direct, packing }: Pick<Lowered, 'direct' | 'packing'>,
  readRange: Backend['readRange'],
): Promise<Filled> {
  const bytesOf = async (stored: StoredValue): Promise<Uint8Array> => {
    if ('data' in stored) return new Uint8Array(stored.data.buffer, stored.data.byteOffset, stored.data.byteLength)
    return readRange(stored, bytesOfStored(stored))
  }
  const floatsOf = async (stored: StoredValue): Promise<Float32Array> => {
    if ('data' in stored) return widened(stored.dtype, stored.data)
    const bytes = await bytesOf(stored)
    const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice()
    return widened(stored.dtype, viewOf(stored.dtype, aligned.buffer, aligned.byteOffset, sizeOf(stored.shape)))
  }
  for (const { tensor, stored } of direct) Object.assign(tensor, embedded(await bytesOf(stored)))
  for (const { tensors, stored, needed, packing: one } of packing) {
    const others = await Promise.all(needed.map(floatsOf))
    const made = packInMemory(one, await floatsOf(stored), others)
    for (const [i, { data }] of made.entries()) Object.assign(tensors[i] as object, embedded(data))
  }
  return { release: () => undefined }
}
