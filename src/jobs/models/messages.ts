import type { JobFault } from '../errors.ts'
import type { JobProgress, JobResult, JobSpec } from '../job.ts'

/** What a process that runs models is told. */
export type ToModels =
  | {
      readonly type: 'run'
      readonly id: string
      readonly spec: JobSpec
      readonly path: string
      readonly load: Readonly<Record<string, unknown>>
    }
  | { readonly type: 'cancel'; readonly id: string }

/** What it tells. */
export type FromModels =
  | { readonly type: 'ready' }
  | { readonly type: 'progress'; readonly id: string; readonly progress: JobProgress }
  | { readonly type: 'completed'; readonly id: string; readonly result: JobResult }
  | {
      readonly type: 'failed'
      readonly id: string
      readonly fault: JobFault
      readonly message: string
      readonly param?: string | undefined
    }
  /** After each job: which models are in memory, the last used last, and the bytes that the process takes. */
  | { readonly type: 'models'; readonly models: readonly string[]; readonly bytes: number }

/** How such a process is set up, as JSON in its first argument. */
export interface ModelSettings {
  readonly store: string
  /** Bytes that the process may take before it lets models go, the last used last. */
  readonly memory: number
  /** Threads of a network's work; all cores unless given. */
  readonly threads?: number | undefined
  readonly device?: string | undefined
}
