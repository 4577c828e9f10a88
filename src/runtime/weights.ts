import type { DType } from '../core/dtype.ts'
import type { NdArray } from './ndarray.ts'

/** A tensor that lies in a file, little-endian and row-major, `offset` bytes from its start. */
export interface FileTensor {
  readonly dtype: DType
  readonly shape: readonly number[]
  /** Absolute path. */
  readonly file: string
  readonly offset: number
  /** What the file was when it was opened (`fileStamp`); `checkStamp` holds the file against it before its bytes are used. */
  readonly stamp?: string
}

/** Named parameters, each in memory or still in its file (mapped by the engine, never copied by us). */
export type Weights = ReadonlyMap<string, NdArray | FileTensor>
