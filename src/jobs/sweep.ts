import { type Job, jobStates } from './job.ts'
import { filesOf } from './models/options.ts'
import type { JobQueue } from './queue/queue.ts'
import type { Store } from './store/store.ts'

export interface SweepSettings {
  /** Milliseconds that an ended job is kept. */
  readonly keep: number
  /** Most bytes of files; the oldest jobs that have ended go first. */
  readonly bytes: number
}

/** Milliseconds for which a file is kept that no job names: one that was uploaded just now, or is being made. */
const YOUNG = 3600 * 1000
const PAGE = 500

/** Removes what is kept no longer: jobs that ended long ago, and files that no job names. */
export async function sweep(
  queue: JobQueue,
  store: Store,
  { keep, bytes: most }: SweepSettings,
  now = Date.now(),
): Promise<{ jobs: number; bytes: number }> {
  const jobs = await allOf(queue)
  const files = new Map<string, { readonly owner: string; readonly id: string; readonly bytes: number; readonly at: number }>()
  for await (const file of store.list()) files.set(keyOf(file.owner, file.id), file)
  const named = new Map<string, number>()
  for (const job of jobs) for (const key of keysOf(job)) named.set(key, (named.get(key) ?? 0) + 1)
  let kept = [...files.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  const removed = { jobs: 0, bytes: 0 }
  const drop = async (key: string) => {
    const file = files.get(key)
    if (!file || now - file.at < YOUNG) return
    files.delete(key)
    await store.remove(file.owner, file.id)
    kept -= file.bytes
    removed.bytes += file.bytes
  }
  for (const key of [...files.keys()]) if (!named.has(key)) await drop(key)
  const ended = jobs.filter(({ state }) => state !== 'queued' && state !== 'running').sort((a, b) => endOf(a) - endOf(b))
  for (const job of ended) {
    if (now - endOf(job) < keep && kept <= most) break
    await queue.remove(job.id).catch(() => {})
    removed.jobs++
    for (const key of keysOf(job)) {
      const left = (named.get(key) ?? 1) - 1
      named.set(key, left)
      if (left === 0) await drop(key)
    }
  }
  return removed
}

const endOf = ({ ended, created }: Job) => ended ?? created

const keyOf = (owner: string, id: string) => `${id} ${owner}`

/** The files that a job names: what it was given, what it made, and its preview. */
function keysOf({ spec, result, progress }: Job): Set<string> {
  const ids = [
    ...filesOf(spec.options),
    ...(result?.files ?? []).map(({ file }) => file),
    ...(progress?.preview ? [progress.preview.file] : []),
  ]
  return new Set(ids.map((id) => keyOf(spec.owner, id)))
}

async function allOf(queue: JobQueue): Promise<Job[]> {
  const found = new Map<string, Job>()
  // There and back: a job that goes from one state into another meanwhile is seen in one of them.
  for (const state of [...jobStates, ...jobStates.toReversed()])
    for (let offset = 0; ; offset += PAGE) {
      const page = await queue.list({ states: [state], limit: PAGE, offset })
      for (const job of page) found.set(job.id, job)
      if (page.length < PAGE) break
    }
  return [...found.values()]
}
