import { createServer } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { s3Store } from '../../src/jobs/store/s3.ts'
import { fileId } from '../../src/jobs/store/store.ts'

// AWS's client against a server that answers as S3 does: objects by key, listed two at a time.

const objects = new Map<string, { readonly body: Buffer; readonly type: string }>()
const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://store')
  const [, bucket, ...rest] = url.pathname.split('/')
  const key = decodeURIComponent(rest.join('/'))
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const answer = (status: number, body: string | Buffer = '', type = 'application/xml') =>
    response
      .writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) })
      .end(request.method === 'HEAD' ? undefined : body)
  if (bucket !== 'pictures') return answer(404, '<Error><Code>NoSuchBucket</Code></Error>')
  if (request.method === 'GET' && url.searchParams.has('list-type')) {
    const after = url.searchParams.get('continuation-token') ?? ''
    const all = [...objects.keys()].sort().filter((one) => one > after && one.startsWith(url.searchParams.get('prefix') ?? ''))
    const page = all.slice(0, 2)
    const contents = page.map(
      (one) =>
        `<Contents><Key>${one}</Key><Size>${objects.get(one)?.body.length}</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`,
    )
    const more = all.length > 2 ? `<IsTruncated>true</IsTruncated><NextContinuationToken>${page[1]}</NextContinuationToken>` : ''
    return answer(200, `<ListBucketResult>${contents.join('')}${more}</ListBucketResult>`)
  }
  if (key === '') return answer(200)
  if (request.method === 'PUT') {
    const type = request.headers['content-type'] ?? ''
    const framed = /aws-chunked/.test(String(request.headers['content-encoding'] ?? ''))
    objects.set(key, { body: framed ? unframed(Buffer.concat(chunks)) : Buffer.concat(chunks), type })
    return answer(200)
  }
  const found = objects.get(key)
  if (request.method === 'DELETE') {
    objects.delete(key)
    return answer(204)
  }
  return found ? answer(200, found.body, found.type) : answer(404, '<Error><Code>NoSuchKey</Code></Error>')
})

/** AWS's client sends bodies in pieces with a checksum behind: `SIZE\r\nBYTES\r\n0\r\n…`. */
function unframed(body: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; ; ) {
    const end = body.indexOf('\r\n', at)
    const size = Number.parseInt(body.subarray(at, end).toString(), 16)
    if (!size) return Buffer.concat(parts)
    parts.push(body.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
}

let address = ''
beforeAll(async () => {
  process.env.AWS_ACCESS_KEY_ID = 'x'
  process.env.AWS_SECRET_ACCESS_KEY = 'y'
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  address = `s3://pictures/made?endpoint=http://127.0.0.1:${(server.address() as { port: number }).port}`
})
afterAll(() => server.close())

test('a bucket is a store: what is put is there, for its owner, and is listed until it is removed', async () => {
  const store = await s3Store(address)
  await store.check()
  const bytes = [1, 2, 3].map((k) => Buffer.from(`picture ${k}`))
  const ids = []
  for (const one of bytes) ids.push(await store.put('ann', one, 'image/png'))
  expect(ids).toEqual(bytes.map(fileId))
  expect([...objects.keys()][0]).toBe(`made/ann/${ids[0]!.slice(0, 2)}/${ids[0]}.bin`)
  expect(await store.get('ann', ids[1]!)).toEqual({ bytes: new Uint8Array(bytes[1]!), type: 'image/png' })
  expect([await store.has('ann', ids[0]!), await store.has('bob', ids[0]!), await store.get('bob', ids[0]!)]).toEqual([
    true,
    false,
    undefined,
  ])
  const streamed = await store.stream('ann', ids[2]!)
  const chunks: Uint8Array[] = []
  for await (const chunk of streamed!.body) chunks.push(chunk)
  expect([Buffer.concat(chunks), streamed!.bytes, streamed!.type]).toEqual([bytes[2], bytes[2]!.length, 'image/png'])
  const listed = []
  for await (const { owner, id } of store.list()) listed.push(`${owner} ${id}`)
  expect(listed.sort()).toEqual(ids.map((id) => `ann ${id}`).sort())
  await store.remove('ann', ids[0]!)
  expect(await store.has('ann', ids[0]!)).toBe(false)
})

test('a bucket that is not there, and an address that is none, are told', async () => {
  await expect((await s3Store(address.replace('pictures', 'others'))).check()).rejects.toThrow()
  await expect(s3Store('s3://')).rejects.toThrow(/expected s3:/)
})
