import { APICallError } from '@ai-sdk/provider'
import type { LangevinProviderSettings } from './provider-settings.ts'

export interface Call {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  /** JSON, or a form. */
  readonly body?: object | FormData
  readonly signal?: AbortSignal | undefined
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined
}

export interface Answer {
  readonly response: Response
  readonly headers: Record<string, string>
}

/** Asks a server. @throws APICallError, which says whether another try may help */
export type Http = (path: string, call?: Call) => Promise<Answer>

export function httpOf({
  baseURL,
  apiKey,
  headers = {},
  fetch = globalThis.fetch,
}: LangevinProviderSettings & { readonly baseURL: string }): Http {
  return async (path, { method = 'POST', body, signal, headers: own = {} } = {}) => {
    const url = `${baseURL.replace(/\/+$/, '')}${path}`
    const isForm = body instanceof FormData
    const given = Object.entries({
      ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
      ...(body && !isForm && { 'content-type': 'application/json' }),
      ...headers,
      ...own,
    }).filter((entry): entry is [string, string] => entry[1] !== undefined)
    const response = await fetch(url, {
      method,
      headers: Object.fromEntries(given),
      ...(body && { body: isForm ? body : JSON.stringify(body) }),
      ...(signal && { signal }),
    })
    const answered = Object.fromEntries(response.headers)
    if (response.ok) return { response, headers: answered }
    const text = await response.text()
    throw new APICallError({
      message: messageIn(text) ?? `${response.status} ${response.statusText}`,
      ...{
        url,
        requestBodyValues: isForm ? {} : body,
        statusCode: response.status,
        responseHeaders: answered,
        responseBody: text,
      },
      isRetryable: answered['x-should-retry'] !== 'false' && (response.status === 429 || response.status >= 500),
    })
  }
}

function messageIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { message?: string } }).error?.message
  } catch {
    return undefined
  }
}
