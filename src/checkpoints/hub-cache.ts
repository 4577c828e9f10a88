import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { constants, copyFile, mkdir, readdir, rename, rm, stat, symlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { writeAtomic } from './atomic.ts'
import { readModelIndex } from './folder.ts'
import { isSafePath, selectFiles, unused } from './hub-files.ts'
import { isObject, readJson } from './json.ts'

/** A repository's folder in the cache, as Python's `huggingface_hub` lays it out: `blobs`, `refs`, `snapshots`. */
export const repositoryIn = (cache: string, model: string): string => join(cache, `models--${model.replace('/', '--')}`)

/** The snapshot of a revision that the cache holds, whole or not. */
export function cachedSnapshot(home: string, revision: string): string | undefined {
  if (!isSafePath(revision)) return undefined
  const ref = join(home, 'refs', revision)
  const commit = statSync(ref, { throwIfNoEntry: false })?.isFile() ? readFileSync(ref, 'utf8').trim() : revision
  if (!isSafePath(commit)) return undefined
  const snapshot = join(home, 'snapshots', commit)
  return existsSync(snapshot) ? realpathSync(snapshot) : undefined
}

/** Remembers which commit a revision is: `main`, or `refs/pr/1`, which is a path. */
export async function writeRef(home: string, revision: string, commit: string): Promise<void> {
  if (commit === revision || !isSafePath(revision)) return
  const ref = join(home, 'refs', revision)
  await mkdir(dirname(ref), { recursive: true })
  writeAtomic(ref, commit)
}

/**
 * What a snapshot lacks of a model, as far as it can be told without the hub: a component's folder or its weights, a shard, a
 * tokenizer's second file. Undefined where it is whole.
 */
export function lacking(snapshot: string, variant?: string): string | undefined {
  // A link whose blob is not there is a file that is not there.
  const paths = readdirSync(snapshot, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => statSync(join(snapshot, path), { throwIfNoEntry: false })?.isFile())
  const has = new Set(paths)
  const pipeline = has.has('model_index.json')
  if (!pipeline && !has.has('config.json')) return 'model_index.json'
  const components = pipeline ? [...readModelIndex(snapshot).components] : []
  const names = components.flatMap(([name, component]) => (component === null || unused.has(name) ? [] : [name]))
  const { files, unreadable } = selectFiles(paths, pipeline ? names : undefined, variant)
  if (unreadable[0] !== undefined) return `weights in ${unreadable[0]}`
  for (const [name, component] of components) {
    if (component === null || unused.has(name)) continue
    const own = files.filter((path) => path.startsWith(`${name}/`))
    if (own.length === 0) return name
    const plain = !/Model|UNet|Autoencoder|Transformer|Encoder|Adapter|Prior|Decoder|Projection/.test(component.className)
    if (/Tokenizer|Scheduler|Extractor|Processor/.test(component.className) || plain) continue
    if (!own.includes(`${name}/config.json`)) return `${name}/config.json`
    if (!own.some((path) => path.endsWith('.safetensors'))) return `weights in ${name}`
  }
  if (!pipeline && !files.some((path) => path.endsWith('.safetensors'))) return 'weights'
  for (const file of files) {
    const folder = file.slice(0, file.lastIndexOf('/') + 1)
    if (basename(file) === 'vocab.json' && !has.has(`${folder}merges.txt`) && !has.has(`${folder}tokenizer.json`))
      return `${folder}merges.txt`
    if (!/\.safetensors\.index(\.[^.]+)?\.json$/.test(file)) continue
    const map = readJson(join(snapshot, file)).weight_map
    const shards = new Set(isObject(map) ? Object.values(map) : [])
    for (const shard of shards) if (!has.has(`${folder}${shard}`)) return `${folder}${shard}`
  }
  return undefined
}

/** Links a blob into a snapshot, in one step; where links are not allowed (Windows), copies it. */
export async function linkBlob(blob: string, link: string): Promise<void> {
  await mkdir(dirname(link), { recursive: true })
  const temp = join(dirname(link), `.${randomUUID()}.tmp`)
  try {
    await symlink(relative(dirname(link), blob), temp).catch(() => copyFile(blob, temp))
    await rename(temp, link)
  } catch (error) {
    await rm(temp, { force: true })
    throw error
  }
}

const host = createHash('sha1').update(hostname()).digest('hex').slice(0, 8)
const day = 24 * 3600 * 1000

/**
 * A file of one's own to download into, with what an earlier download of the same bytes left: no two processes, and no two calls, ever
 * write to one file. What a process left that is gone is taken over; what lies under Python's name (`.incomplete`) may be written to
 * this moment, so it is copied.
 */
export async function startPart(blob: string): Promise<{ part: string; parked: string }> {
  await mkdir(dirname(blob), { recursive: true })
  const part = `${blob}.${host}-${process.pid}-${randomUUID()}.incomplete`
  const parked = `${blob}.incomplete`
  const own = new RegExp(`^${basename(blob)}\\.([0-9a-f]{8})-(\\d+)-[0-9a-f-]{36}\\.incomplete$`)
  for (const name of await readdir(dirname(blob))) {
    const [, where, pid] = own.exec(name) ?? []
    if (pid === undefined) continue
    const path = join(dirname(blob), name)
    const left =
      where === host ? !isAlive(Number(pid)) : Date.now() - (await stat(path).catch(() => ({ mtimeMs: Infinity }))).mtimeMs > day
    // Of two that find it, one renames it and the other goes on.
    if (left && (await rename(path, part).then(...outcome))) return { part, parked }
  }
  if (existsSync(parked)) await copyFile(parked, part, constants.COPYFILE_FICLONE).catch(() => rm(part, { force: true }))
  return { part, parked }
}

const outcome = [() => true, () => false] as const

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** The checksum under which a blob lies: SHA-256 of a large file, git's of a small one. Of the bytes that lie on the disk. */
export async function blobSum(path: string, sum: string): Promise<string> {
  const { size } = await stat(path)
  const hash = sum.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`)
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk)
  return hash.digest('hex')
}
