import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { ListFileEntry } from '@huggingface/hub'
import { quote } from './errors.ts'
import { readModelIndex } from './folder.ts'
import { accessOf, cacheOf, failure, HubError, type HubOptions, isAnswer, isSet } from './hub-access.ts'
import { cachedSnapshot, lacking, repositoryIn, writeRef } from './hub-cache.ts'
import { type Bringing, bringFile, describedBy } from './hub-download.ts'
import { isSafePath, selectFiles } from './hub-files.ts'
import { adapterConfig } from './lora-keys.ts'

export { HubError, type HubOptions, type HubProgress } from './hub-access.ts'

/** Where a model lies on this machine. */
export interface ResolvedModel {
  /** A diffusers or transformers folder, or a single file. */
  readonly kind: 'folder' | 'file'
  readonly path: string
}

/** A name on the hub in its parts. */
interface HubName {
  readonly model: string
  readonly options: HubOptions
  readonly file: string | undefined
}

/**
 * A model by its folder, its file, or its name on the hub: `org/name`, `org/name@revision` (`@refs/pr/1` too),
 * `org/name/some/file.safetensors`. What lies on the disk under the name goes first.
 *
 * @throws HubError
 */
export async function resolveModel(name: string, options: HubOptions = {}): Promise<ResolvedModel> {
  if (existsSync(name)) return { kind: statSync(name).isDirectory() ? 'folder' : 'file', path: name }
  const { model, options: chosen, file } = hubName(name, options)
  if (file === undefined) return { kind: 'folder', path: await fetchModel(model, chosen) }
  return { kind: 'file', path: join(await fetchModel(model, chosen, [file]), file) }
}

function hubName(name: string, options: HubOptions): HubName {
  const match = /^([\w.-]+\/[\w.-]+?)(?:@(refs\/\w+\/[^/@\s]+|[^/@\s]+))?(?:\/(.+))?$/.exec(name)
  if (!match || !isSafePath(match[1] as string)) {
    throw new HubError(name, `no such folder or file, and no name on the hub, which would be 'org/name'`)
  }
  const [, model, revision, file] = match as unknown as [string, string, string | undefined, string | undefined]
  if (file !== undefined && !isSafePath(file)) throw new HubError(name, `${quote(file)} is no path in a repository`)
  return { model, options: revision === undefined ? options : { ...options, revision }, file }
}

/**
 * Brings what a model is run from into the cache that Python's `huggingface_hub` uses too, and nothing twice. A download that was cut
 * off goes on where it stopped; every file is held against the hub's checksum before it has its name. Any number of processes may fetch
 * one model at once. Without a network, what is cached serves, where it is whole.
 *
 * @param only these files; by default what `selectFiles` says
 * @returns the folder of the snapshot
 * @throws HubError; the signal's reason where that stopped it
 */
export async function fetchModel(model: string, options: HubOptions = {}, only?: readonly string[]): Promise<string> {
  try {
    return (await fetchFiles(model, options, only)).snapshot
  } catch (cause) {
    options.signal?.throwIfAborted()
    throw failure(model, cause)
  }
}

interface Fetched {
  readonly snapshot: string
  readonly commit: string | undefined
  readonly files: readonly string[]
  readonly bytes: number
}

async function fetchFiles(model: string, options: HubOptions, only?: readonly string[], check = false): Promise<Fetched> {
  const { revision = 'main', cache = cacheOf(), variant, signal } = options
  signal?.throwIfAborted()
  const home = repositoryIn(cache, model)
  const cached = cachedSnapshot(home, revision)
  const missing = (snapshot: string) =>
    only === undefined ? lacking(snapshot, variant) : only.find((file) => !existsSync(join(snapshot, file)))
  const found = (snapshot: string): Fetched => ({ snapshot, commit: undefined, files: only ?? [], bytes: 0 })
  if (options.offline ?? isSet(process.env.HF_HUB_OFFLINE)) {
    const lack = cached && missing(cached)
    if (cached && lack === undefined) return found(cached)
    const state = cached ? `the cache ${cache} lacks ${lack}: it was not downloaded whole` : `not in the cache ${cache}`
    throw new HubError(model, `${state}, and HF_HUB_OFFLINE forbids to fetch it`)
  }
  const access = accessOf(model, options)
  // Only here, and in `download`: most models lie on the disk, and the library takes a while to load.
  const { listFiles, modelInfo } = await import('@huggingface/hub')
  let commit: string
  try {
    commit = (await modelInfo({ ...access, name: model, revision, additionalFields: ['sha'] })).sha
  } catch (cause) {
    if (!isAnswer(cause) && !signal?.aborted && cached && missing(cached) === undefined) return found(cached)
    throw cause
  }
  if (!/^[0-9a-f]{40}$/.test(commit)) throw new HubError(model, `the hub names ${quote(String(commit))} as its commit`)
  const snapshot = join(home, 'snapshots', commit)
  const entries = new Map<string, ListFileEntry>()
  for await (const entry of listFiles({ ...access, repo: model, revision: commit, recursive: true })) {
    if (entry.type === 'file') entries.set(entry.path, entry)
  }
  const to: Bringing = { model, home, snapshot, commit, access, signal, check, report: () => {} }
  const files = only ?? (await selected(model, entries, snapshot, variant, (path) => bringFile(to, path, entries.get(path))))
  const sizes = files.map((path) => describedBy(model, path, entries.get(path)).size)
  const allTotal = sizes.reduce((a, b) => a + b, 0)
  let before = 0
  for (const [i, path] of files.entries()) {
    const report: Bringing['report'] = (file, done, total) =>
      options.onProgress?.({ file, done, total, index: i + 1, count: files.length, allDone: before + done, allTotal })
    await bringFile({ ...to, report }, path, entries.get(path))
    before += sizes[i] as number
  }
  await writeRef(home, revision, commit)
  return { snapshot, commit, files, bytes: allTotal }
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
  const { files, unreadable, variants } = selectFiles(paths, components, variant)
  if (unreadable.length > 0) {
    const asked = variant === undefined ? '' : ` for the variant ${quote(variant)}`
    const remedy =
      variants.length > 0
        ? `only the variant${variants.length > 1 ? 's' : ''} ${variants.map(quote).join(', ')}: ask for ${variants.length > 1 ? 'one' : 'it'} (variant: ${quote(variants[0] as string)}; --variant ${variants[0]})`
        : 'only pickles, which are not fetched: ask for one of them as a file, or convert it'
    throw new HubError(model, `no safetensors in ${unreadable.join(', ')}${asked}: ${remedy}`)
  }
  return files
}

/**
 * The file of a LoRA: on the disk, `org/name/some/file.safetensors`, or `org/name`, whose `pytorch_lora_weights.safetensors` it is, or
 * the only safetensors that the repository has, PEFT's `adapter_model.safetensors` with its `adapter_config.json`.
 *
 * @throws HubError
 */
export async function resolveLora(name: string, options: HubOptions = {}): Promise<string> {
  if (existsSync(name) && !statSync(name).isDirectory()) return name
  const usual = 'pytorch_lora_weights.safetensors'
  const peft = 'adapter_model.safetensors'
  if (existsSync(name)) {
    const file = [usual, peft].map((one) => join(name, one)).find((one) => existsSync(one))
    if (file !== undefined) return file
    throw new HubError(name, `a folder without ${usual} or ${peft}: give the file itself`)
  }
  const { model, options: chosen, file } = hubName(name, options)
  if (file !== undefined) return (await resolveModel(name, options)).path
  const fetched = async (path: string) => join(await fetchModel(model, chosen, [path]), path)
  try {
    return await fetched(usual)
  } catch (error) {
    if (!(error instanceof HubError) || !error.message.includes('has no file')) throw error
  }
  const all = await repositoryFiles(model, chosen)
  const files = all.filter((path) => path.endsWith('.safetensors') && isSafePath(path))
  const [only, ...others] = files
  if (only === peft && all.includes(adapterConfig)) await fetched(adapterConfig)
  if (only !== undefined && others.length === 0) return await fetched(only)
  const some = files.slice(0, 5).map((path) => `${model}/${path}`)
  throw new HubError(model, files.length === 0 ? 'has no safetensors' : `has several files: ask for one, as ${some.join(', ')}`)
}

/** Paths of a repository's files, as the hub lists them. */
async function repositoryFiles(model: string, options: HubOptions): Promise<string[]> {
  const { listFiles } = await import('@huggingface/hub')
  const paths: string[] = []
  try {
    const { revision = 'main' } = options
    for await (const entry of listFiles({ ...accessOf(model, options), repo: model, revision, recursive: true })) {
      if (entry.type === 'file') paths.push(entry.path)
    }
  } catch (cause) {
    options.signal?.throwIfAborted()
    throw failure(model, cause)
  }
  return paths
}

export interface PullOptions extends HubOptions {
  /** How often a download that the network cut off is taken up again by itself; 5 where nothing is said. */
  readonly retries?: number
}

/** What `pullModel` brought. */
export interface PulledModel extends ResolvedModel {
  /** The commit of the hub's that was asked for. */
  readonly commit: string
  readonly files: readonly string[]
  /** Bytes of those files, fetched now or there already. */
  readonly bytes: number
}

/**
 * Brings a model of the hub into the shared cache, by the names that `resolveModel` takes, and checks all of it: what was there already is
 * held against its checksum too, and fetched again where it differs. After a cut it goes on by itself.
 *
 * @throws HubError; the signal's reason where that stopped it
 */
export async function pullModel(name: string, { retries = 5, ...given }: PullOptions = {}): Promise<PulledModel> {
  const { model, options, file } = hubName(name, given)
  for (let left = retries; ; left--) {
    try {
      const { snapshot, commit, files, bytes } = await fetchFiles(
        model,
        { ...options, offline: false },
        file === undefined ? undefined : [file],
        true,
      )
      if (commit === undefined) throw new HubError(model, 'the hub cannot be reached, so what is cached was not checked')
      const path = file === undefined ? snapshot : join(snapshot, file)
      return { kind: file === undefined ? 'folder' : 'file', path, commit, files, bytes }
    } catch (cause) {
      options.signal?.throwIfAborted()
      const error = failure(model, cause)
      if (left <= 0 || !/connection ended|cannot be reached|answered 5\d\d/.test(error.message)) throw error
      await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** Math.min(retries - left, 6)))
      options.signal?.throwIfAborted()
    }
  }
}
