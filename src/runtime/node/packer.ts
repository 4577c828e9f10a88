import { type TypedArray, viewOf } from '../../core/dtype.ts'
import type { PackRequest } from '../../core/graph.ts'
import { bytesOfStored } from '../../core/onnx/stored.ts'
import { type RawTensor, rawTypes, type StoredValue } from '../../core/onnx/types.ts'
import { sizeOf } from '../../core/shape.ts'
import { widened } from '../widen.ts'
import { readFully } from './read.ts'

/** Weights in a file start at whole pages, so that ONNX Runtime can map them. */
const PAGE = 4096

/** Bytes from a file's start, and how many. */
export interface Range {
  readonly offset: number
  readonly length: number
}

type Result = Omit<RawTensor, 'data'>
const bytesOf = ({ type, shape }: Result) => sizeOf(shape) * rawTypes[type].array.BYTES_PER_ELEMENT
/** The end of the page that so many bytes reach into. */
export const paged = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE

/** Where a packed weight's results lie when the first starts at `start`, and how many bytes they take. */
export function layOut({ packing }: PackRequest, start = 0): { readonly ranges: Range[]; readonly bytes: number } {
  let end = start
  const ranges = packing.results.map((result) => {
    const range = { offset: end, length: bytesOf(result) }
    end += paged(range.length)
    return range
  })
  return { ranges, bytes: end - start }
}

let packed = 0
/** Weights that this thread has packed so far. */
export const packedSoFar = (): number => packed

/** Packs weights one after another, each in the memory of the one before. */
export class WeightPacker {
  private readonly stored = new Scratch()
  private readonly floats = new Scratch()
  private readonly results = new Scratch()

  /** A weight's results as `layOut` places them, in memory that the next one overwrites. */
  pack(request: PackRequest): Uint8Array {
    packed++
    const { ranges, bytes } = layOut(request)
    const memory = this.results.of(bytes)
    const needed = request.needed.map((value) => widened(value.dtype, valuesOf(value, new Scratch())))
    const { results, fill } = request.packing
    const values = widened(
      request.stored.dtype,
      valuesOf(request.stored, this.stored),
      (length) => new Float32Array(this.floats.of(4 * length), 0, length),
    )
    fill(
      values,
      results.map(({ type, shape }, i) => new rawTypes[type].array(memory, (ranges[i] as Range).offset, sizeOf(shape))),
      needed,
    )
    return new Uint8Array(memory, 0, bytes)
  }

  /** Frees the memory between weights. */
  free(): void {
    for (const scratch of [this.stored, this.floats, this.results]) scratch.free()
  }
}

/** A stored weight's values, read where they lie in a file. */
function valuesOf(stored: StoredValue, scratch: Scratch): TypedArray {
  if ('data' in stored) return stored.data
  const bytes = bytesOfStored(stored)
  const buffer = scratch.of(bytes)
  readFully(stored, new Uint8Array(buffer, 0, bytes))
  return viewOf(stored.dtype, buffer, 0, sizeOf(stored.shape))
}

/** A scratch buffer that one weight after another uses: fresh pages would cost more than what is calculated in them. */
class Scratch {
  private buffer = new ArrayBuffer(0)

  /** So many bytes or more, with what was in them. */
  of(bytes: number): ArrayBuffer {
    if (this.buffer.byteLength < bytes) {
      this.free()
      this.buffer = new ArrayBuffer(bytes)
    }
    return this.buffer
  }

  free(): void {
    this.buffer.transfer(0)
    this.buffer = new ArrayBuffer(0)
  }
}
