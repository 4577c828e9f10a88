import { existsSync, statSync } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ListFileEntry } from '@huggingface/hub'
import { quote } from './errors.ts'
import { type accessOf, failure, HubError } from './hub-access.ts'
import { blobSum, linkBlob, startPart } from './hub-cache.ts'
import { isSafePath } from './hub-files.ts'

/** What one call brings files with. */
export interface Bringing {
  readonly model: string
  readonly home: string
  readonly snapshot: string
  readonly commit: string
  readonly access: ReturnType<typeof accessOf>
  readonly signal: AbortSignal | undefined
  /** Holds what is in the cache already against its checksum too. */
  readonly check: boolean
  readonly report: (file: string, done: number, total: number) => void
}

/** A file's size and the checksum that its blob is named by. */
export function describedBy(model: string, path: string, entry: ListFileEntry | undefined): { sum: string; size: number } {
  if (!entry) throw new HubError(model, `has no file ${quote(path)}`)
  const sum = entry.lfs?.oid ?? entry.oid ?? ''
  const size = entry.lfs?.size ?? entry.size
  if (!isSafePath(path) || !/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(sum) || !(Number.isSafeInteger(size) && size >= 0)) {
    throw new HubError(model, `${quote(path)} has a path, a size or a checksum ${quote(sum)} that cannot be`)
  }
  return { sum, size }
}

/** One file into `blobs`, under its checksum, and a link to it into the snapshot. */
export async function bringFile(to: Bringing, path: string, entry: ListFileEntry | undefined): Promise<void> {
  const { model, home, snapshot, check, signal } = to
  const { sum, size } = describedBy(model, path, entry)
  signal?.throwIfAborted()
  const link = join(snapshot, path)
  const blob = join(home, 'blobs', sum)
  try {
    // A blob of another size was damaged: two downloads at once once wrote into one file.
    const whole = async (file: string) =>
      statSync(file, { throwIfNoEntry: false })?.size === size && (!check || (await blobSum(file, sum)) === sum)
    if (await whole(link)) return to.report(path, size, size)
    if (!(await whole(blob))) await download(to, path, { sum, size }, blob)
    await linkBlob(blob, link)
  } catch (cause) {
    signal?.throwIfAborted()
    throw failure(model, cause, path)
  }
}

/** Goes on with what is there of the file, holds what then lies on the disk against the checksum, and only then gives it its name. */
async function download(
  { model, commit, access, signal, report }: Bringing,
  path: string,
  { sum, size: total }: { sum: string; size: number },
  blob: string,
): Promise<void> {
  const { part, parked } = await startPart(blob)
  const before = await stampOf(parked)
  try {
    let done = existsSync(part) ? statSync(part).size : 0
    if (done > total) {
      await rm(part)
      done = 0
    }
    const file = await open(part, 'a')
    try {
      if (done < total || total === 0) {
        const { downloadFile } = await import('@huggingface/hub')
        const source = await downloadFile({ ...access, repo: model, path, revision: commit, xet: false })
        if (source === null) throw new HubError(model, `has no file ${quote(path)}`)
        report(path, done, total)
        for await (const chunk of source.slice(done, source.size).stream()) {
          signal?.throwIfAborted()
          await file.writeFile(chunk)
          done += chunk.length
          report(path, done, total)
        }
      }
      await file.sync()
    } finally {
      await file.close()
    }
    if (done < total)
      throw new HubError(model, `${path}: the connection ended after ${done} of ${total} bytes: ask again to go on`)
    const found = await blobSum(part, sum)
    if (done !== total || found !== sum) {
      await rm(part, { force: true })
      await dropParked(parked, before)
      throw new HubError(
        model,
        `${path}: ${done} bytes with checksum ${found}, expected ${total} with ${sum}: removed, ask again`,
      )
    }
    await rename(part, blob)
    await dropParked(parked, before)
  } catch (error) {
    // What has come is kept under the name that the next download, Python's too, goes on from; the longer of two.
    const own = statSync(part, { throwIfNoEntry: false })?.size ?? 0
    const other = statSync(parked, { throwIfNoEntry: false })?.size ?? 0
    if (own > other && own <= total && (await stampOf(parked)) === before) await rename(part, parked)
    else await rm(part, { force: true })
    throw error
  }
}

/** What tells that nobody has written to a file since. */
async function stampOf(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found && [found.ino, found.size, found.mtimeMs].join(' ')
}

/** Removes a part that is of no more use, unless another process writes to it. */
async function dropParked(parked: string, before: string | undefined): Promise<void> {
  if (before !== undefined && (await stampOf(parked)) === before) await rm(parked, { force: true })
}
