import type { DType, TypedArray } from '../core/dtype.ts'
import type { DownloadProgress } from './store.ts'

/*
 * What a page and its worker say to each other.
 */

/** A model's files: an address of a folder with a listing, a name on the hub, or the files themselves by their paths in a folder. */
export type ModelSource =
  | { readonly url: string }
  | { readonly hub: string; readonly revision?: string; readonly variant?: string; readonly endpoint?: string }
  | { readonly files: ReadonlyMap<string, Blob> }

/** How a model is opened, as `loadPipeline` takes it. */
export type OpenSettings = Readonly<Record<string, unknown>> & {
  readonly device?: 'cpu' | 'webgpu' | undefined
  /** Which of the files is the model, where they are no folder of diffusers' but one file beside others. */
  readonly file?: string | undefined
  /** Where fetched files are kept: in the browser's private file system, where there is one, or in memory only. */
  readonly keep?: 'storage' | 'memory' | undefined
}

export type Preview = 'none' | 'sketch' | 'picture'

export type Request =
  | { readonly type: 'measure'; readonly source: ModelSource }
  | { readonly type: 'open'; readonly source: ModelSource; readonly settings: OpenSettings }
  | {
      readonly type: 'generate'
      readonly model: number
      readonly options: Readonly<Record<string, unknown>>
      readonly preview: Preview
    }
  | { readonly type: 'close'; readonly model: number }
  | { readonly type: 'task'; readonly name: string; readonly input: unknown }

export type ToWorker = (Request & { readonly id: number }) | { readonly type: 'cancel'; readonly id: number }

export type FromWorker = { readonly id: number } & (
  | { readonly type: 'progress'; readonly value: unknown }
  | { readonly type: 'result'; readonly value: unknown }
  | { readonly type: 'error'; readonly error: { readonly name: string; readonly message: string } }
)

/** An array on its way between threads. */
export interface ArrayMessage {
  readonly data: TypedArray
  readonly shape: readonly number[]
  readonly dtype: DType
}

/** A run's result, its arrays as messages. */
export type ResultMessage =
  | { readonly type: 'pictures'; readonly pictures: ArrayMessage }
  | { readonly type: 'frames'; readonly frames: ArrayMessage; readonly rate: number }
  | { readonly type: 'text'; readonly texts: readonly string[] }
  | { readonly type: 'latents'; readonly latents: ArrayMessage }

/** A step of a run. */
export interface StepMessage {
  readonly picture: number
  readonly i: number
  readonly stage?: number
  readonly done: number
  readonly total: number
  readonly preview?: ResultMessage
}

/** What a page is told of an opened model. */
export interface OpenedMessage {
  readonly model: number
  readonly className: string
  readonly output: 'pictures' | 'frames' | 'text'
  /** The options of a run, as JSON Schema. */
  readonly schema: Readonly<Record<string, unknown>>
}

/** What opening needs of the network. */
export interface Measure {
  readonly files: number
  readonly bytes: number
  /** Of those bytes, what is here already. */
  readonly kept: number
}

export type { DownloadProgress }
