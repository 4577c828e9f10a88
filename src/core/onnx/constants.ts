import type { DType, TypedArray } from '../dtype.ts'
import { onnxType } from '../ops/elementwise.ts'
import { type Shape, showShape } from '../shape.ts'
import type { OnnxTensor } from './proto.ts'

/** Constants of a graph. Equal ones are one. */
export class Constants {
  private readonly known = new Map<string, OnnxTensor[]>()

  /** The name of a constant; `add` puts a new one into the graph. */
  intern(data: TypedArray, dtype: DType, shape: Shape, add: (tensor: Omit<OnnxTensor, 'name'>) => OnnxTensor): string {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    const alike = `${dtype}${showShape(shape)}${hash(bytes)}`
    const known = this.known.get(alike) ?? []
    const same = known.find((tensor) => equalBytes(tensor.rawData as Uint8Array, bytes))
    if (same) return same.name
    const tensor = add({ dims: [...shape], dataType: onnxType[dtype], rawData: bytes })
    this.known.set(alike, [...known, tensor])
    return tensor.name
  }
}

/** FNV-1a over a spread of the bytes: equal constants share it. */
function hash(bytes: Uint8Array): number {
  const step = Math.max(1, Math.floor(bytes.length / 1024))
  let h = 0x811c9dc5
  for (let i = 0; i < bytes.length; i += step) h = Math.imul(h ^ (bytes[i] as number), 0x01000193)
  return h >>> 0
}

/** Compares four bytes at a time where it can: tables of a network's weights have millions of elements. */
function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  if (a.buffer === b.buffer && a.byteOffset === b.byteOffset) return true
  const wide = [a, b].every(({ byteOffset, length }) => byteOffset % 4 === 0 && length % 4 === 0)
  const [x, y] = [a, b].map((bytes) => (wide ? new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) : bytes))
  for (let i = 0; i < (x as Uint8Array).length; i++) if (x?.[i] !== y?.[i]) return false
  return true
}
