import { z } from 'zod'
import { UsageError } from '../errors.ts'

const seconds = z.number().positive()

/** What a server and a worker have in common: the queue, the files, the models, and how they are run. */
export const working = {
  data: z
    .string()
    .optional()
    .meta({ description: 'where the queue and the files are; ~/.local/share/langevin on Linux unless given' }),
  queue: z.string().optional().meta({ description: 'postgres://… or redis://…; a database within --data unless given' }),
  store: z
    .string()
    .optional()
    .meta({ description: 'a folder, or s3://BUCKET/PREFIX, for the files; within --data unless given' }),
  models: z.array(z.string().min(1)).default([]).meta({
    description: 'models, folders of models, names on the hub, or a .json list of { id, model, load }; beside the bundled ones',
  }),
  memory: z.number().positive().optional().meta({
    description:
      'GB that a process may take before it lets models go, the last used last; half of the machine’s, shared, unless given',
  }),
  threads: z.int().positive().optional().meta({ description: 'of the processor for a process; all cores, shared, unless given' }),
  device: z.enum(['cpu', 'webgpu', 'cuda']).default('cpu').meta({ description: 'what runs the networks' }),
  drain: seconds
    .default(30)
    .meta({ description: 'seconds that a job has to end when this stops; then it goes back into the queue' }),
  keep: z.number().positive().default(7).meta({ description: 'days that results are kept' }),
  lock: seconds.default(15).meta({
    description: 'seconds without a sign of life after which a worker has lost its job, and another takes it',
  }),
}

export const serving = {
  port: z.int().min(0).max(65_535).default(7860).meta({ description: 'where it answers; 0 for any that is free' }),
  host: z.string().default('127.0.0.1').meta({ description: 'the address that it answers at; others than 127.0.0.1 need a key' }),
  key: z.string().min(8).optional().meta({ description: 'what requests must give; LANGEVIN_KEY unless given' }),
  keys: z.string().optional().meta({ description: 'a .json of users: [{ "name", "key", "waiting", "perMinute", "admin" }]' }),
  ...working,
  model: z
    .string()
    .optional()
    .meta({ description: 'of requests that name none; stickers-t2i unless given, or the first that makes pictures of a prompt' }),
  alias: z
    .array(z.string())
    .default([])
    .meta({ description: 'another name of a model, NAME=MODEL, as gpt-image-1=stickers-t2i' }),
  workers: z
    .int()
    .min(0)
    .max(64)
    .default(1)
    .meta({ description: 'jobs at once here, each in a process of its own; 0 leaves all to langevin worker' }),
  limit: z.int().positive().default(100).meta({ description: 'jobs that may wait; more are answered 429' }),
  allowHost: z.array(z.string()).default([]).meta({ description: 'a host name that requests may be for, as behind a proxy' }),
  allowOrigin: z.array(z.string()).default([]).meta({ description: 'pages that may ask, as https://studio.example; * for any' }),
  keepSize: z
    .number()
    .positive()
    .optional()
    .meta({ description: 'GB of files that are kept; the oldest jobs that have ended go first' }),
  moderation: z.string().optional().meta({ description: 'a module whose default export refuses requests by giving a reason' }),
  log: z.string().optional().meta({ description: 'a file for the log, or - for standard error' }),
}

/** NAME=MODEL. @throws UsageError */
export function aliasesOf(texts: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    texts.map((text) => {
      const cut = text.indexOf('=')
      if (cut < 1 || cut === text.length - 1) throw new UsageError(`--alias: expected NAME=MODEL, got ${text}`)
      return [text.slice(0, cut), text.slice(cut + 1)]
    }),
  )
}

const GB = 1e9

/** The flags as a service takes them. */
export async function settingsOf(given: z.infer<z.ZodObject<typeof working>>) {
  const { dataFolder } = await import('../../jobs/service.ts')
  const { data = dataFolder(), queue, store, models, memory, threads, device, keep, lock } = given
  return {
    ...{ data, queue, store, models, threads, lock: lock * 1000, keep: keep * 24 * 3600 * 1000 },
    ...(memory !== undefined && { memory: memory * GB }),
    ...(device !== 'cpu' && { device }),
  }
}
