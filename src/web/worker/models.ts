import { ArgumentError } from '../../core/errors.ts'
import { existsSync, mount } from '../../runtime/web/files.ts'
import { join } from '../../runtime/web/paths.ts'
import { filesAt, filesOnHub } from '../listing.ts'
import type { DownloadProgress, Measure, ModelSource, OpenSettings } from '../messages.ts'
import { fetchToMemory, type RemoteFile, Store } from '../store.ts'

const remoteFiles = (source: Exclude<ModelSource, { files: unknown }>, signal?: AbortSignal): Promise<RemoteFile[]> =>
  'url' in source ? filesAt(source.url, globalThis.location.href, signal) : filesOnHub(source, signal)

/** What opening a model would fetch. @throws FetchError */
export async function measure(source: ModelSource): Promise<Measure> {
  if ('files' in source) return { files: source.files.size, bytes: 0, kept: 0 }
  const files = await remoteFiles(source)
  const store = await Store.open()
  let kept = 0
  for (const file of files) kept += (await store?.size(file)) ?? 0
  return { files: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0), kept }
}

/**
 * Fetches a model's files where they are not here yet, and mounts them.
 * @returns the model's path
 */
export async function* mountModel(
  source: ModelSource,
  folder: string,
  { file, keep = 'storage', signal }: Pick<OpenSettings, 'file' | 'keep'> & { readonly signal: AbortSignal },
): AsyncGenerator<DownloadProgress, string, void> {
  if ('files' in source) mount(folder, source.files as ReadonlyMap<string, File>)
  else yield* fetchAll(await remoteFiles(source, signal), folder, keep, signal)
  const path = file === undefined ? onlyFile(source, folder) : join(folder, file)
  if (existsSync(path)) return path
  throw new ArgumentError(`the model has no file "${file}"`)
}

/** A single-file checkpoint that was handed over alone is the model; else the folder is. */
function onlyFile(source: ModelSource, folder: string): string {
  const names = 'files' in source ? [...source.files.keys()] : []
  const weights = names.filter((name) => /^[^/]+\.(safetensors|ckpt|pt|pth)$/.test(name))
  return weights.length === 1 && !names.includes('model_index.json') && !names.includes('config.json')
    ? join(folder, weights[0] as string)
    : folder
}

async function* fetchAll(
  files: readonly RemoteFile[],
  folder: string,
  keep: 'storage' | 'memory',
  signal: AbortSignal,
): AsyncGenerator<DownloadProgress, void, void> {
  const store = keep === 'storage' ? await Store.open() : undefined
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  for (const file of files) {
    let settled = false
    let wake = () => {}
    const onBytes = (count: number) => {
      done += count
      wake()
    }
    const fetching = (store ? store.fetch(file, { signal, onBytes }) : fetchToMemory(file, { signal, onBytes })).finally(() => {
      settled = true
      wake()
    })
    fetching.catch(() => undefined)
    let told = -1
    while (!settled) {
      await new Promise<void>((resolve) => {
        wake = resolve
        if (settled || told !== done) resolve()
      })
      if (told !== done) yield { file: file.path, done, total }
      told = done
    }
    mount(folder, [[file.path, await fetching]])
  }
  yield { file: '', done, total }
}
