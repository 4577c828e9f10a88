import type { Result } from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Io } from '../command.ts'

/** What a file says of how it was made. */
export interface Entry {
  readonly prompt: string
  readonly negative: string | undefined
  readonly settings: Readonly<Record<string, string | number | undefined>>
}

/** What a run made, and what is said of its k-th picture, of this size. */
export interface Made {
  readonly result: Result
  readonly entries: (k: number, size: string) => Entry
}

export interface Writing {
  readonly target: string
  /** All pictures as one, in so many columns. */
  readonly grid?: { readonly columns: number | undefined } | undefined
  readonly draw: boolean
  readonly quality?: number | undefined
  /** What is made of a picture before it is written. */
  readonly enlarge?: ((picture: NdArray<'f32'>) => Promise<NdArray<'f32'>>) | undefined
  readonly io: Io
}

/** What was written, by its file or, of a text, by itself. */
export type Written = Readonly<Record<string, string | number | undefined>> & { readonly file?: string; readonly text?: string }
