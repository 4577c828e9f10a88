import type { PictureRef } from '../jobs/models/options.ts'
import type { PictureFacts } from './decoder/process.ts'
import type { Api, Ctx } from './env.ts'
import { ApiError, badRequest } from './errors.ts'

/** A picture of a request: looked into, and in the store. */
export interface Uploaded {
  readonly ref: PictureRef
  readonly bytes: number
  readonly type: string
  readonly facts: PictureFacts
}

/** Takes a picture into the user's store. @throws ApiError 400 for what is none */
export async function upload(
  api: Api,
  c: Ctx,
  bytes: Uint8Array,
  { param, mime }: { readonly param: string; readonly mime?: string | undefined },
): Promise<Uploaded> {
  const declared = mime && mime !== 'application/octet-stream' ? mime.split(';')[0]?.trim() : undefined
  const facts = await api.decoder.look(bytes, { param, mime: declared })
  const type = `image/${facts.format}`
  const file = await api.service.store.put(c.get('user').name, bytes, type)
  return { ref: { file }, bytes: bytes.length, type, facts }
}

/** A picture of a form. @throws ApiError 400 */
export async function uploadFrom(api: Api, c: Ctx, value: unknown, param: string): Promise<Uploaded> {
  if (!(value instanceof File)) throw badRequest(param, `${param}: expected a file`)
  if (value.size > api.limits.picture)
    throw badRequest(param, `${param}: ${value.size} bytes; at most ${api.limits.picture} are read`, 'image_too_large')
  return upload(api, c, new Uint8Array(await value.arrayBuffer()), { param, mime: value.type || undefined })
}

/**
 * A picture in JSON: base64, with or without `data:image/png;base64,` before it.
 *
 * Addresses are refused: who may make a server fetch what he likes reaches what only the server may.
 */
export async function uploadText(api: Api, c: Ctx, text: unknown, param: string): Promise<Uploaded> {
  if (typeof text !== 'string' || text === '') throw badRequest(param, `${param}: expected a picture in base64`)
  if (/^\s*[a-z][a-z0-9+.-]*:/i.test(text) && !/^data:/i.test(text))
    throw badRequest(param, `${param}: addresses are not fetched; send the picture itself, in base64`, 'image_url_unsupported')
  const [, mime, encoded = text] = /^data:([^;,]*)(?:;[^,]*)?,([\s\S]*)$/i.exec(text) ?? []
  if (encoded.length > api.limits.picture * 1.4)
    throw badRequest(
      param,
      `${param}: ${encoded.length} characters of base64; at most ${api.limits.picture} bytes are read`,
      'image_too_large',
    )
  if (!/^[A-Za-z0-9+/_\-\s]*={0,2}\s*$/.test(encoded)) throw badRequest(param, `${param}: this is no base64`, 'invalid_base64')
  return upload(api, c, Buffer.from(encoded, 'base64'), { param, mime: mime || undefined })
}

/** A request's body as JSON, at most so many bytes. @throws ApiError 400, 413, 415 */
export async function jsonOf(c: Ctx, limit: number): Promise<unknown> {
  const type = c.req.header('content-type') ?? ''
  if (type !== '' && !/^application\/(\S+\+)?json\b/i.test(type))
    throw new ApiError(415, `expected application/json, got ${type.split(';')[0]}`, { code: 'unsupported_media_type' })
  const bytes = await bytesOf(c, limit)
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw new ApiError(400, `the body is no JSON: ${(cause as Error).message.slice(0, 200)}`, { code: 'invalid_json', cause })
  }
}

/** A request's body, at most so many bytes: what is longer is not read to its end. @throws ApiError 413 */
export async function bytesOf(c: Ctx, limit: number): Promise<Buffer> {
  const tooLong = () => new ApiError(413, `the body is longer than ${limit} bytes`, { code: 'request_too_large' })
  if (Number(c.req.header('content-length') ?? 0) > limit) throw tooLong()
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of c.req.raw.body ?? []) {
    length += chunk.length
    if (length > limit) throw tooLong()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** A request's form, at most so many bytes. @throws ApiError 400, 413, 415 */
export async function formOf(c: Ctx, limit: number): Promise<FormData> {
  const type = c.req.header('content-type') ?? ''
  if (!/^multipart\/form-data\b/i.test(type))
    throw new ApiError(415, `expected multipart/form-data, got ${type.split(';')[0] || 'nothing'}`, {
      code: 'unsupported_media_type',
    })
  const bytes = await bytesOf(c, limit)
  try {
    return await new Response(new Uint8Array(bytes), { headers: { 'content-type': type } }).formData()
  } catch (cause) {
    throw new ApiError(400, `the form cannot be read: ${(cause as Error).message}`, { code: 'invalid_form', cause })
  }
}
