import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { extname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Hono } from 'hono'
import type { Ctx, Env } from './env.ts'
import { ApiError } from './errors.ts'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** Where the studio's build is: in the package beside the server, in a clone where `npm start -- studio` puts it; undefined before. */
export function studioFolder(): string | undefined {
  return [at('../studio'), at('../../.cache/studio/built')].find((folder) => existsSync(join(folder, 'index.html')))
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
}

/** Stands in the page for a number that is drawn anew each time: style sheets that the page makes itself bear it. */
const NONCE = '__NONCE__'

/** Nothing is run, shown or asked but what this server gives. */
const policy = (nonce: string) =>
  [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' blob: data:",
    "media-src 'self' blob:",
    "connect-src 'self'",
    "font-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')

const zipped = promisify(gzip)

/** The studio's pages: the files of its build and nothing else. They hold nobody's data, so that no key is asked for. */
export function studio(app: Hono<Env>, folder: string | null = studioFolder() ?? null): void {
  const files = new Map<string, string>()
  if (folder !== null)
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) {
        const path = join(entry.parentPath, entry.name)
        files.set(path.slice(folder.length + 1).replaceAll(sep, '/'), path)
      }
  const kept = new Map<string, Promise<{ readonly plain: Buffer; readonly small: Buffer }>>()
  const read = (path: string) => {
    const known = kept.get(path)
    if (known) return known
    const reading = readFile(path).then(async (plain) => ({ plain, small: await zipped(plain, { level: 9 }) }))
    kept.set(path, reading)
    reading.catch(() => kept.delete(path))
    return reading
  }

  const send = async (c: Ctx, name: string) => {
    const path = files.get(name)
    if (path === undefined) throw new ApiError(404, `the studio has no file ${JSON.stringify(name)}`, { code: 'not_found' })
    const nonce = randomBytes(16).toString('base64')
    c.header('content-type', types[extname(name)] ?? 'application/octet-stream')
    c.header('content-security-policy', policy(nonce))
    c.header('x-content-type-options', 'nosniff')
    c.header('referrer-policy', 'no-referrer')
    c.header('cross-origin-opener-policy', 'same-origin')
    c.header('permissions-policy', 'camera=(), microphone=(), geolocation=()')
    const { plain, small } = await read(path)
    if (name === 'index.html') {
      c.header('cache-control', 'no-store')
      return c.body(plain.toString('utf8').replaceAll(NONCE, nonce))
    }
    // Names of these files hold a hash of what is in them.
    c.header('cache-control', name.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache')
    c.header('vary', 'accept-encoding')
    if (!/\bgzip\b/.test(c.req.header('accept-encoding') ?? '')) return c.body(new Uint8Array(plain))
    c.header('content-encoding', 'gzip')
    return c.body(new Uint8Array(small))
  }

  app.get('/', async (c, next) => {
    if (folder === null || !/\btext\/html\b/.test(c.req.header('accept') ?? '')) return next()
    return c.redirect('/studio/')
  })
  app.get('/studio', (c) => c.redirect('/studio/'))
  app.get('/studio/*', (c) => {
    if (folder === null)
      throw new ApiError(404, 'the studio is not built here; in a clone, npm start -- studio builds and opens it', {
        code: 'studio_not_built',
      })
    const name = c.req.path.slice('/studio/'.length)
    // Its pages have addresses of their own; the one file finds out which is meant.
    return send(c, files.has(name) || name.includes('.') ? name : 'index.html')
  })
}
