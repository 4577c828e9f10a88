import type { ObjectSchema } from '../form/schema.ts'

export interface MadeFile {
  readonly file: string
  readonly type: string
  readonly bytes: number
  readonly width?: number
  readonly height?: number
  readonly seed?: number
  readonly frames?: number
  readonly prompt?: string
  /** An address that needs no key for a while. */
  readonly url: string
}

export type JobState = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'

export type Options = Readonly<Record<string, unknown>>

export interface Job {
  readonly id: string
  readonly state: JobState
  readonly task: 'generate' | 'upscale'
  readonly model: string
  readonly options: Options
  readonly owner: string
  readonly priority: number
  readonly metadata?: Readonly<Record<string, string>>
  readonly progress?: {
    readonly done: number
    readonly total: number
    readonly picture: number
    readonly stage?: number
    /** Seconds. */
    readonly eta?: number
    readonly preview?: MadeFile & { readonly index: number }
  }
  readonly result?: {
    readonly files: readonly MadeFile[]
    readonly texts?: readonly string[]
    readonly settings: Readonly<Record<string, string | number | undefined>>
    readonly warnings?: readonly string[]
    readonly seconds: { readonly open: number; readonly run: number }
  }
  readonly error?: { readonly fault: string; readonly message: string; readonly param?: string }
  readonly created: number
  readonly started?: number
  readonly ended?: number
}

export interface Model {
  readonly id: string
  readonly class_name: string
  readonly output: 'pictures' | 'frames' | 'text'
}

export interface DescribedModel extends Model {
  readonly options: ObjectSchema
}

export interface StoredFile {
  readonly id: string
  readonly width: number
  readonly height: number
  readonly url: string
}
