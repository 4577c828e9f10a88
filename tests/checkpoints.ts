import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { NdArray } from '../src/runtime/ndarray.ts'
import type { FileTensor } from '../src/runtime/weights.ts'

/** Path of a checkpoint that parity/checkpoints.py wrote. */
export const checkpoint = (name: string): string =>
  fileURLToPath(new URL(`../parity/fixtures/checkpoints/${name}`, import.meta.url))

/** A folder that goes when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'langevin-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A safetensors file of any header, right or wrong, and any data. */
export function fileOf(header: string | Uint8Array, data: Uint8Array | number = 0): Uint8Array {
  const text = typeof header === 'string' ? Buffer.from(header) : header
  const bytes = typeof data === 'number' ? new Uint8Array(data) : data
  const file = new Uint8Array(8 + text.length + bytes.length)
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true)
  file.set(text, 8)
  file.set(bytes, 8 + text.length)
  return file
}

/** A header of a few tensors, JSON as the format's. */
export const headerOf = (tensors: Record<string, { dtype?: unknown; shape?: unknown; data_offsets?: unknown }>): string =>
  JSON.stringify(tensors)

/** A tensor without its place: what a save and a load must keep. */
export const contentOf = ({ dtype, shape, data }: NdArray) => ({
  dtype,
  shape: [...shape],
  bytes: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex'),
})

export const f32 = (shape: readonly number[], ...values: number[]): NdArray => new NdArray(new Float32Array(values), shape, 'f32')

/** What a call throws. */
export function errorOf(call: () => unknown): unknown {
  try {
    call()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

export type Tensors = ReadonlyMap<string, NdArray | FileTensor>
