import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { Hono } from 'hono'
import { afterAll, expect, test } from 'vitest'
import { answerOf } from './answers.ts'
import type { Env } from './env.ts'
import { apiErrorOf } from './errors.ts'
import { studio } from './studio.ts'

const parent = mkdtempSync(join(tmpdir(), 'langevin-studio-'))
const built = join(parent, 'built')
mkdirSync(join(built, 'assets'), { recursive: true })
writeFileSync(join(built, 'index.html'), '<meta name="nonce" content="__NONCE__">')
writeFileSync(join(built, 'assets/index-abc.js'), 'console.log(1)')
writeFileSync(join(parent, 'secret.txt'), 'not for the web')
afterAll(() => rmSync(parent, { recursive: true }))

function serving(folder: string | null) {
  const app = new Hono<Env>()
  app.onError((error, c) => answerOf(c, apiErrorOf(error)))
  studio(app, folder)
  return (path: string, headers: Record<string, string> = {}) => app.request(path, { headers })
}

test('every page is the one file, under a policy that runs only what the server gives', async () => {
  const get = serving(built)
  const nonces = new Set<string>()
  for (const path of ['/studio/', '/studio/gallery', '/studio/a/b']) {
    const answer = await get(path)
    expect(answer.headers.get('content-type')).toMatch(/^text\/html/)
    const policy = answer.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'; script-src 'self';")
    expect(policy).not.toMatch(/unsafe|\*|https?:/)
    const [, nonce = ''] = /'nonce-([^']+)'/.exec(policy) ?? []
    expect(await answer.text()).toBe(`<meta name="nonce" content="${nonce}">`)
    nonces.add(nonce)
  }
  expect(nonces.size).toBe(3)
})

test('files come zipped to who takes that, and are kept for good by the hash in their names', async () => {
  const get = serving(built)
  const plain = await get('/studio/assets/index-abc.js')
  expect(await plain.text()).toBe('console.log(1)')
  expect(plain.headers.get('cache-control')).toMatch(/immutable/)
  expect(plain.headers.get('content-type')).toMatch(/^text\/javascript/)
  const small = await get('/studio/assets/index-abc.js', { 'accept-encoding': 'gzip, br' })
  expect(gunzipSync(await small.bytes()).toString()).toBe('console.log(1)')
})

test('nothing outside the build is given', async () => {
  const get = serving(built)
  for (const path of [
    '/studio/../secret.txt',
    '/studio/..%2fsecret.txt',
    '/studio/%2e%2e/secret.txt',
    '/studio/assets/none.js',
  ]) {
    const answer = await get(path)
    expect(answer.status).toBe(404)
    expect(await answer.text()).not.toContain('not for the web')
  }
})

test('a browser at the root is led to it; a program is not', async () => {
  const get = serving(built)
  expect((await get('/', { accept: 'text/html,*/*' })).headers.get('location')).toBe('/studio/')
  expect((await get('/', { accept: '*/*' })).status).toBe(404)
})

test('where it is not built the answer says how it is', async () => {
  const answer = await serving(null)('/studio/')
  expect(answer.status).toBe(404)
  expect(await answer.text()).toContain('npm start -- studio')
})
