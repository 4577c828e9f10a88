import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs'
import { copyFile, mkdir, open, rename, rm, symlink } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import type { HubApiError, ListFileEntry } from '@huggingface/hub'
import { LangevinError } from '../core/errors.ts'
import { writeAtomic } from './atomic.ts'
import { quote } from './errors.ts'
import { readModelIndex } from './folder.ts'
import { isSafePath, selectFiles } from './hub-files.ts'

/** A model that the hub does not give, or gives otherwise than it says. */
export class HubError extends LangevinError {
  readonly model: string

  constructor(model: string, reason: string, options?: ErrorOptions) {
    super(`${model}: ${reason}`, options)
    this.model = model
  }
}

export interface HubOptions {
  /** A branch, a tag or a commit. */
  readonly revision?: string
  /** As in `diffusion_pytorch_model.fp16.safetensors`. */
  readonly variant?: string
  /** By default `HF_HUB_OFFLINE`: nothing is asked of the network. */
  readonly offline?: boolean
  /** By default `HF_TOKEN`, or the file that `huggingface-cli login` writes. */
  readonly token?: string
  /** By default `HF_ENDPOINT`, or https://huggingface.co. */
  readonly endpoint?: string
  /** By default Python's: `HF_HUB_CACHE`, `HF_HOME`/hub, or ~/.cache/huggingface/hub. */
  readonly cache?: string
  readonly signal?: AbortSignal
  /** Told as bytes arrive. */
  readonly onProgress?: (progress: { readonly file: string; readonly done: number; readonly total: number }) => void
}

/** Where a model lies on this machine. */
export interface ResolvedModel {
  /** A diffusers or transformers folder, or a single file. */
  readonly kind: 'folder' | 'file'
  readonly path: string
}

/**
 * A model by its folder, its file, or its name on the hub: `org/name`, `org/name@revision`, `org/name/some/file.safetensors`.
 * What lies on the disk under the name goes first.
 *
 * @throws HubError
 */
export async function resolveModel(name: string, options: HubOptions = {}): Promise<ResolvedModel> {
  if (existsSync(name)) return { kind: statSync(name).isDirectory() ? 'folder' : 'file', path: name }
  const match = /^([\w.-]+\/[\w.-]+?)(?:@([^/@\s]+))?(?:\/(.+))?$/.exec(name)
  if (!match || !isSafePath(match[1] as string)) {
    throw new HubError(name, `no such folder or file, and no name on the hub, which would be 'org/name'`)
  }
  const [, model, revision, file] = match as unknown as [string, string, string | undefined, string | undefined]
  const chosen = revision === undefined ? options : { ...options, revision }
  if (file !== undefined) {
    if (!isSafePath(file)) throw new HubError(name, `${quote(file)} is no path in a repository`)
    return { kind: 'file', path: join(await fetchModel(model, chosen, [file]), file) }
  }
  return { kind: 'folder', path: await fetchModel(model, chosen) }
}

/**
 * Brings what a model is run from into the cache that Python's `huggingface_hub` uses too, and nothing twice. A download that
 * was cut off goes on where it stopped; every file is held against the hub's checksum. Without a network, what is cached serves.
 *
 * @param only these files; by default what `selectFiles` says
 * @returns the folder of the snapshot
 * @throws HubError
 */
export async function fetchModel(model: string, options: HubOptions = {}, only?: readonly string[]): Promise<string> {
  const { revision = 'main', cache = cacheOf(), variant } = options
  const home = join(cache, `models--${model.replace('/', '--')}`)
  const offline = options.offline ?? isSet(process.env.HF_HUB_OFFLINE)
  const cached = cachedSnapshot(home, revision)
  const found = (snapshot: string) => only === undefined || only.every((file) => existsSync(join(snapshot, file)))
  if (offline) {
    if (cached && found(cached)) return cached
    throw new HubError(model, `not in the cache ${cache}, and HF_HUB_OFFLINE forbids to fetch it`)
  }
  const access = accessOf(model, options)
  // Only here, and in `download`: most models lie on the disk, and the library takes a while to load.
  const { listFiles, modelInfo } = await import('@huggingface/hub')
  let commit: string
  try {
    commit = (await modelInfo({ ...access, name: model, revision, additionalFields: ['sha'] })).sha
  } catch (cause) {
    if (!isAnswer(cause) && !options.signal?.aborted && cached && found(cached)) return cached
    throw failure(model, cause)
  }
  if (!/^[0-9a-f]{40}$/.test(commit)) throw new HubError(model, `the hub names ${quote(String(commit))} as its commit`)
  const snapshot = join(home, 'snapshots', commit)
  const entries = new Map<string, ListFileEntry>()
  try {
    for await (const entry of listFiles({ ...access, repo: model, revision: commit, recursive: true })) {
      if (entry.type === 'file') entries.set(entry.path, entry)
    }
  } catch (cause) {
    throw failure(model, cause)
  }
  const bring = (path: string) =>
    bringFile({ model, home, snapshot, commit, access, onProgress: options.onProgress }, path, entries.get(path))
  for (const path of only ?? (await selected(model, entries, snapshot, variant, bring))) await bring(path)
  if (commit !== revision && isSafePath(revision)) {
    await mkdir(join(home, 'refs'), { recursive: true })
    writeAtomic(join(home, 'refs', revision), commit)
  }
  return snapshot
}

async function selected(
  model: string,
  entries: ReadonlyMap<string, ListFileEntry>,
  snapshot: string,
  variant: string | undefined,
  bring: (path: string) => Promise<void>,
): Promise<readonly string[]> {
  const paths = [...entries.keys()]
  const pipeline = entries.has('model_index.json')
  if (pipeline) await bring('model_index.json')
  if (!pipeline && !entries.has('config.json')) {
    const single = paths.filter((path) => path.endsWith('.safetensors'))
    const some = single.slice(0, 5).map((path) => `${model}/${path}`)
    const remedy = some.length > 0 ? `ask for one of its files: ${some.join(', ')}` : 'it has no safetensors either'
    throw new HubError(model, `has neither model_index.json nor config.json; ${remedy}`)
  }
  const components = pipeline
    ? [...readModelIndex(snapshot).components].flatMap(([name, component]) => (component === null ? [] : [name]))
    : undefined
  const { files, unreadable } = selectFiles(paths, components, variant)
  if (unreadable.length > 0) {
    throw new HubError(
      model,
      `no safetensors in ${unreadable.join(', ')}${variant === undefined ? '' : ` for the variant ${quote(variant)}`}: ` +
        'only pickles, which can run code when they are read, or other variants',
    )
  }
  return files
}

interface Bringing {
  readonly model: string
  readonly home: string
  readonly snapshot: string
  readonly commit: string
  readonly access: ReturnType<typeof accessOf>
  readonly onProgress: HubOptions['onProgress']
}

/** One file into `blobs`, under its checksum, and a link to it into the snapshot. */
async function bringFile(to: Bringing, path: string, entry: ListFileEntry | undefined): Promise<void> {
  const { model, home, snapshot } = to
  if (!entry) throw new HubError(model, `has no file ${quote(path)}`)
  const sum = entry.lfs?.oid ?? entry.oid ?? ''
  if (!isSafePath(path) || !/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(sum)) {
    throw new HubError(model, `${quote(path)} has a path or a checksum ${quote(sum)} that cannot be`)
  }
  const link = join(snapshot, path)
  if (existsSync(link)) return
  const blob = join(home, 'blobs', sum)
  if (!existsSync(blob)) await download(to, path, entry, blob)
  await mkdir(dirname(link), { recursive: true })
  await rm(link, { force: true })
  // Where links are not allowed (Windows), a copy does.
  await symlink(relative(dirname(link), blob), link).catch(() => copyFile(blob, link))
}

/** Goes on with what is there of the file, holds the whole against its checksum, and only then gives it its name. */
async function download(
  { model, commit, access, onProgress }: Bringing,
  path: string,
  entry: ListFileEntry,
  blob: string,
): Promise<void> {
  const total = entry.lfs?.size ?? entry.size
  const part = `${blob}.incomplete`
  await mkdir(dirname(part), { recursive: true })
  const hash = entry.lfs ? createHash('sha256') : createHash('sha1').update(`blob ${total}\0`)
  let done = existsSync(part) ? statSync(part).size : 0
  if (done > total) {
    rmSync(part)
    done = 0
  }
  if (done > 0) for await (const chunk of createReadStream(part)) hash.update(chunk)
  const { downloadFile } = await import('@huggingface/hub')
  const file = await open(part, 'a')
  try {
    const source = done === total ? undefined : await downloadFile({ ...access, repo: model, path, revision: commit, xet: false })
    if (source === null) throw new HubError(model, `has no file ${quote(path)}`)
    if (source) {
      for await (const chunk of source.slice(done, source.size).stream()) {
        hash.update(chunk)
        await file.writeFile(chunk)
        done += chunk.length
        onProgress?.({ file: path, done, total })
      }
    }
    await file.sync()
  } catch (cause) {
    throw cause instanceof HubError ? cause : failure(model, cause, path)
  } finally {
    await file.close()
  }
  if (done < total) throw new HubError(model, `${path}: the connection ended after ${done} of ${total} bytes: ask again to go on`)
  const found = hash.digest('hex')
  const expected = entry.lfs?.oid ?? entry.oid
  if (done !== total || found !== expected) {
    rmSync(part, { force: true })
    throw new HubError(
      model,
      `${path}: ${done} bytes with checksum ${found}, expected ${total} with ${expected}: removed, ask again`,
    )
  }
  await rename(part, blob)
}

/** What every request is given. */
function accessOf(model: string, { token = tokenOf(), endpoint = process.env.HF_ENDPOINT, signal }: HubOptions) {
  if (token !== undefined && !token.startsWith('hf_')) throw new HubError(model, `a token of the hub starts with 'hf_'`)
  return {
    ...(token !== undefined && { accessToken: token }),
    ...(endpoint && { hubUrl: endpoint.replace(/\/+$/, '') }),
    fetch: (url: Parameters<typeof fetch>[0], init?: RequestInit) => fetch(url, signal ? { ...init, signal } : init),
  }
}

const isSet = (value: string | undefined): boolean => /^(1|true|yes|on)$/i.test(value ?? '')

const homeOf = () => process.env.HF_HOME || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface')

const cacheOf = () => process.env.HF_HUB_CACHE || process.env.HUGGINGFACE_HUB_CACHE || join(homeOf(), 'hub')

function tokenOf(): string | undefined {
  const given = process.env.HF_TOKEN || process.env.HUGGING_FACE_HUB_TOKEN
  if (given) return given.trim()
  const file = process.env.HF_TOKEN_PATH || join(homeOf(), 'token')
  return existsSync(file) ? readFileSync(file, 'utf8').trim() || undefined : undefined
}

/** The snapshot of a revision that the cache holds. */
function cachedSnapshot(home: string, revision: string): string | undefined {
  if (!isSafePath(revision)) return undefined
  const ref = join(home, 'refs', revision)
  const snapshot = join(home, 'snapshots', existsSync(ref) ? readFileSync(ref, 'utf8').trim() : revision)
  return existsSync(snapshot) ? realpathSync(snapshot) : undefined
}

/** An answer of the hub, where others are faults of the network or of the disk. */
const isAnswer = (cause: unknown): cause is HubApiError => cause instanceof Error && 'statusCode' in cause

/** Why the hub did not give something, and what to do. */
function failure(model: string, cause: unknown, path?: string): HubError {
  const at = path === undefined ? '' : `${path}: `
  if (!isAnswer(cause)) {
    const inner = (cause as Error).cause instanceof Error ? ((cause as Error).cause as Error) : (cause as Error)
    return new HubError(model, `${at}the hub cannot be reached: ${inner.message ?? String(cause)}`, { cause })
  }
  const why: Readonly<Record<number, string>> = {
    401: 'the hub does not know it, or it is private: check the name, or set HF_TOKEN',
    403: 'it is gated: ask for access on its page, and set HF_TOKEN',
    404: 'the hub does not have it',
  }
  return new HubError(model, at + (why[cause.statusCode] ?? `the hub answered ${cause.statusCode}: ${cause.message}`), { cause })
}
