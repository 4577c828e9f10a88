import { ReadableStream as WebStream } from 'node:stream/web'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Ctx } from './env.ts'
import type { ApiError } from './errors.ts'

/** An error in the shape of the interface that was asked. */
export function answerOf(c: Ctx, error: ApiError): Response {
  const { message, type, param, code } = error
  const status = error.status as ContentfulStatusCode
  if (c.req.path.startsWith('/sdapi/'))
    return c.json({ error: 'HTTPException', detail: message, body: '', errors: message }, status)
  if (/^\/(hf-inference\/)?models\//.test(c.req.path)) return c.json({ error: message }, status)
  return c.json({ error: { message, type, param, code } }, status)
}

/** A file's bytes as they come, as an answer's body. */
export const bodyOf = (bytes: AsyncIterable<Uint8Array>): ReadableStream => WebStream.from(bytes) as unknown as ReadableStream
