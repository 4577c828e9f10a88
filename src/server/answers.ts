import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Ctx } from './env.ts'
import type { ApiError } from './errors.ts'

/** An error in the shape of the interface that was asked. */
export function openAiError(c: Ctx, { status, message, type, param, code }: ApiError): Response {
  return c.json({ error: { message, type, param, code } }, status as ContentfulStatusCode)
}
