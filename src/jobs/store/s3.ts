import { ArgumentError, LangevinError } from '../../core/errors.ts'
import { fileId, isFileId, keyOf, parseKey, type Store } from './store.ts'

/**
 * Files in a bucket of S3 or of what speaks its protocol. Keys come from AWS's usual places (environment, profile, role); `endpoint` and
 * `region` may stand behind the address, as in `s3://bucket/prefix?endpoint=http://store:9000&region=eu-central-1`.
 *
 * @throws ArgumentError for another address; LangevinError where AWS's client is not installed
 */
export async function s3Store(address: string): Promise<Store> {
  const url = URL.parse(address)
  if (url?.protocol !== 's3:' || url.hostname === '')
    throw new ArgumentError(`store: expected s3://bucket/prefix, got ${address}`)
  const {
    S3Client,
    PutObjectCommand,
    GetObjectCommand,
    HeadObjectCommand,
    ListObjectsV2Command,
    DeleteObjectCommand,
    HeadBucketCommand,
  } = await client()
  const endpoint = url.searchParams.get('endpoint') ?? process.env.AWS_ENDPOINT_URL_S3
  const region = url.searchParams.get('region') ?? process.env.AWS_REGION ?? 'us-east-1'
  // A store of one's own has seldom a host name for each bucket.
  const s3 = new S3Client({ region, ...(endpoint && { endpoint, forcePathStyle: true }) })
  const Bucket = url.hostname
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '')
  const keyed = (owner: string, id: string) => ({ Bucket, Key: [prefix, keyOf(owner, id, '')].filter(Boolean).join('/') })
  const missing = (error: unknown) => {
    const { name, $metadata } = error as { name?: string; $metadata?: { httpStatusCode?: number } }
    if (name === 'NoSuchKey' || name === 'NotFound' || $metadata?.httpStatusCode === 404) return undefined
    throw error
  }
  const fetched = async (owner: string, id: string) =>
    isFileId(id) ? s3.send(new GetObjectCommand(keyed(owner, id))).catch(missing) : undefined
  return {
    async put(owner, bytes, type) {
      const id = fileId(bytes)
      await s3.send(new PutObjectCommand({ ...keyed(owner, id), Body: bytes, ContentType: type }))
      return id
    },
    async get(owner, id) {
      const found = await fetched(owner, id)
      return (
        found?.Body && { bytes: await found.Body.transformToByteArray(), type: found.ContentType ?? 'application/octet-stream' }
      )
    },
    async stream(owner, id) {
      const found = await fetched(owner, id)
      if (!found?.Body) return undefined
      return {
        body: found.Body as unknown as AsyncIterable<Uint8Array>,
        bytes: found.ContentLength ?? 0,
        type: found.ContentType ?? 'application/octet-stream',
      }
    },
    async has(owner, id) {
      if (!isFileId(id)) return false
      return (await s3.send(new HeadObjectCommand(keyed(owner, id))).catch(missing)) !== undefined
    },
    async *list() {
      for (let ContinuationToken: string | undefined; ; ) {
        const page = await s3.send(
          new ListObjectsV2Command({ Bucket, Prefix: prefix, ...(ContinuationToken && { ContinuationToken }) }),
        )
        for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
          const known = parseKey(prefix === '' ? Key : Key.slice(prefix.length + 1))
          if (known) yield { ...known, bytes: Size, at: LastModified?.getTime() ?? 0 }
        }
        ContinuationToken = page.NextContinuationToken
        if (!ContinuationToken) return
      }
    },
    async remove(owner, id) {
      if (isFileId(id)) await s3.send(new DeleteObjectCommand(keyed(owner, id)))
    },
    async check() {
      await s3.send(new HeadBucketCommand({ Bucket }))
    },
  }
}

async function client() {
  try {
    return await import('@aws-sdk/client-s3')
  } catch (cause) {
    throw new LangevinError('a store in S3 needs AWS’s client: npm install @aws-sdk/client-s3', { cause })
  }
}
