import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'

export const root = join(import.meta.dirname, '../..')

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
}

/** Allows what langevin needs and nothing else: no scripts of others or from strings, WebAssembly, workers of the page's own. */
export const strict =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src 'self' blob: data:; style-src 'self'"

export interface SiteOptions {
  /** Folders by the first part of their addresses; '' is the page. */
  readonly folders: Readonly<Record<string, string>>
  readonly isolated?: boolean
  readonly csp?: string
  /** Looks at each request first; true where it was answered. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean
}

/** What `files.json` of a model's folder says. */
export function listingOf(folder: string): Record<string, { bytes: number; sha256: string }> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => statSync(join(folder, path)).isFile())
  const wanted = files.filter(
    (path) => /\.(json|txt|model|safetensors)$/.test(path) && !/^(evaluation|training|recipe)\.json$/.test(path),
  )
  return Object.fromEntries(
    wanted.map((path) => {
      const bytes = readFileSync(join(folder, path))
      return [path.replaceAll('\\', '/'), { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }]
    }),
  )
}

/** Serves files with ranges, and a listing in each model's folder, on this machine alone. */
export async function serveSite({ folders, isolated = true, csp = strict, intercept }: SiteOptions) {
  const server = createServer((request, response) => {
    if (intercept?.(request, response)) return
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const [, first = '', ...rest] = decodeURIComponent(pathname).split('/')
    const [folder, path] = first in folders ? [folders[first], rest.join('/')] : [folders[''], [first, ...rest].join('/')]
    const file = join(folder as string, normalize(`/${path || 'index.html'}`))
    response.setHeader('cache-control', 'no-store')
    if (isolated) {
      response.setHeader('cross-origin-opener-policy', 'same-origin')
      response.setHeader('cross-origin-embedder-policy', 'require-corp')
    }
    if (csp) response.setHeader('content-security-policy', csp)
    if (file.endsWith('/files.json') && !existsSync(file) && existsSync(join(file, '..')))
      return response.setHeader('content-type', 'application/json').end(JSON.stringify(listingOf(join(file, '..'))))
    if (!existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end()
    const { size } = statSync(file)
    response.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream')
    response.setHeader('accept-ranges', 'bytes')
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')
    const start = range ? Number(range[1]) : 0
    if (range) response.setHeader('content-range', `bytes ${start}-${size - 1}/${size}`)
    response.writeHead(range ? 206 : 200, { 'content-length': size - start })
    return createReadStream(file, { start }).pipe(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
