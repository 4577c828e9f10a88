import { z } from 'zod'

/** Where a file of the store stands in a job: `{ "file": "sha256…" }`. Jobs carry references, never pixels. */
export const fileRef = z.object({ file: z.string().regex(/^[0-9a-f]{64}$/) })
export type FileRef = z.infer<typeof fileRef>

export const isFileRef = (value: unknown): value is FileRef => fileRef.strict().safeParse(value).success

const previews = z.object({
  /** So many pictures of the way, evenly spread. */
  count: z.int().min(0).max(10).default(0),
  /** One at most every so many milliseconds. */
  every: z.int().min(100).optional(),
})

export const outputFormats = ['png', 'jpeg', 'webp'] as const

/** How results become files. */
const output = z.object({
  format: z.enum(outputFormats).default('png'),
  /** 1–100, of JPEG and WebP. */
  quality: z.int().min(1).max(100).optional(),
  /** Whether the settings stand in the file. */
  metadata: z.boolean().default(true),
})
export type OutputSpec = z.infer<typeof output>

/** What a job does, as the queue keeps it. */
export const jobSpec = z.object({
  /** `generate` runs a pipeline; `upscale` enlarges pictures. */
  task: z.enum(['generate', 'upscale']).default('generate'),
  model: z.string().min(1).max(500),
  /** The pipeline's own options; pictures as references to files. */
  options: z.record(z.string(), z.unknown()).default({}),
  output: output.prefault({}),
  previews: previews.prefault({}),
  /** Whose it is. */
  owner: z.string().default('local'),
  /** Milliseconds since 1970 by which it must have ended. */
  deadline: z.number().optional(),
  /** Of the request, where the same key may come again. */
  digest: z.string().optional(),
  /** Which interface it came by: for whoever looks at the queue. */
  via: z.string().optional(),
  /** Free words of the client, given back with the job. */
  metadata: z.record(z.string(), z.string().max(512)).optional(),
})
export type JobSpec = z.infer<typeof jobSpec>

/** A file that a job made. */
export interface MadeFile {
  /** SHA-256 of its bytes. */
  readonly file: string
  readonly type: string
  readonly bytes: number
  readonly width?: number
  readonly height?: number
  readonly seed?: number
  /** Of a film. */
  readonly frames?: number
  readonly rate?: number
  /** What the picture was made of, where a prompt's choices differ. */
  readonly prompt?: string
}

export interface JobResult {
  readonly files: readonly MadeFile[]
  readonly texts?: readonly string[]
  /** In the words of a picture's metadata. */
  readonly settings: Readonly<Record<string, string | number | undefined>>
  readonly warnings?: readonly string[]
  /** Seconds that the model was opened and run for. */
  readonly seconds: { readonly open: number; readonly run: number }
}

export interface JobProgress {
  /** Calls of the network so far, of so many; 0 of 0 while the model is opened. */
  readonly done: number
  readonly total: number
  /** Which of the run's pictures. */
  readonly picture: number
  readonly stage?: number
  /** The newest preview, and how many came before it. */
  readonly preview?: MadeFile & { readonly index: number }
  /** Milliseconds since 1970; and when the first step began, the model being open by then. */
  readonly at: number
  readonly began?: number
}

export const jobStates = ['queued', 'running', 'completed', 'failed', 'cancelled'] as const
export type JobState = (typeof jobStates)[number]

/** A job as it stands. */
export interface Job {
  readonly id: string
  readonly state: JobState
  readonly spec: JobSpec
  readonly priority: number
  readonly progress?: JobProgress
  readonly result?: JobResult
  readonly error?: { readonly fault: string; readonly message: string; readonly param?: string }
  /** Milliseconds since 1970. */
  readonly created: number
  readonly started?: number
  readonly ended?: number
  readonly attempts: number
  /** Its worker. */
  readonly worker?: string
}
