import { z } from 'zod'
import { isSafePath, selectFiles } from '../checkpoints/hub-files.ts'
import { FetchError, type RemoteFile } from './store.ts'

/** The file in a served folder that says what else there is. */
export const LISTING = 'files.json'

const listing = z.record(
  z.string(),
  z.object({
    bytes: z.number().int().min(0),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .optional(),
  }),
)

/**
 * The files of a folder at an address, by its `files.json`: `{ "unet/config.json": { "bytes": 976, "sha256": "…" }, … }`.
 *
 * @throws FetchError
 */
export async function filesAt(url: string, base: string, signal?: AbortSignal): Promise<RemoteFile[]> {
  const folder = new URL(url.endsWith('/') ? url : `${url}/`, base)
  const file = new URL(LISTING, folder).href
  const found = listing.safeParse(await json(file, signal))
  if (!found.success) throw new FetchError(`${file} is no listing: expected { "path": { "bytes": 1, "sha256": "…" }, … }`)
  return Object.entries(found.data).map(([path, told]) => {
    if (!isSafePath(path)) throw new FetchError(`${file}: ${JSON.stringify(path)} does not stay in its folder`)
    return { path, url: new URL(path, folder).href, ...told }
  })
}

const hubEntry = z.object({
  type: z.string(),
  path: z.string(),
  size: z.number(),
  lfs: z.object({ oid: z.string(), size: z.number() }).optional(),
})

export interface HubPlace {
  readonly hub: string
  readonly revision?: string | undefined
  readonly variant?: string | undefined
  readonly endpoint?: string | undefined
}

/** The files that a model of the hub is run from. @throws FetchError */
export async function filesOnHub(
  { hub, revision = 'main', variant, endpoint = 'https://huggingface.co' }: HubPlace,
  signal?: AbortSignal,
): Promise<RemoteFile[]> {
  const [name, at] = [hub, revision].map((text) => text.split('/').map(encodeURIComponent).join('/')) as [string, string]
  const entries: z.output<typeof hubEntry>[] = []
  let next: string | undefined = `${endpoint}/api/models/${name}/tree/${encodeURIComponent(revision)}?recursive=true`
  while (next !== undefined) {
    const response: Response = await answer(next, signal)
    const found = z.array(hubEntry).safeParse(await response.json())
    if (!found.success) throw new FetchError(`${next} is no listing of the hub's`)
    entries.push(...found.data.filter(({ type }) => type === 'file'))
    next = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1]
  }
  const fileUrl = (path: string) => `${endpoint}/${name}/resolve/${at}/${path.split('/').map(encodeURIComponent).join('/')}`
  const index = entries.some(({ path }) => path === 'model_index.json')
    ? Object.keys((await json(fileUrl('model_index.json'), signal)) as object).filter((field) => !field.startsWith('_'))
    : undefined
  const { files, unreadable } = selectFiles(
    entries.map(({ path }) => path),
    index,
    variant,
  )
  if (unreadable.length > 0) throw new FetchError(`${hub}: no safetensors in ${unreadable.join(', ')}`)
  return files.map((path) => {
    const entry = entries.find((one) => one.path === path) as z.output<typeof hubEntry>
    return { path, url: fileUrl(path), bytes: entry.lfs?.size ?? entry.size, sha256: entry.lfs?.oid }
  })
}

async function answer(url: string, signal?: AbortSignal): Promise<Response> {
  let response: Response
  try {
    response = await fetch(url, signal ? { signal } : {})
  } catch (cause) {
    signal?.throwIfAborted()
    throw new FetchError(`${url} cannot be reached, or its server does not allow this page (CORS): ${(cause as Error).message}`, {
      cause,
    })
  }
  if (!response.ok) throw new FetchError(`${url} answered ${response.status} ${response.statusText}`.trimEnd())
  return response
}

const json = async (url: string, signal?: AbortSignal): Promise<unknown> =>
  (await answer(url, signal)).json().catch((cause) => {
    throw new FetchError(`${url} is not JSON: ${(cause as Error).message}`, { cause })
  })
