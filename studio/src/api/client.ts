import { createStore } from '../store.ts'

/** The key that the server asks for, kept in this browser. */
export const key = createStore('', 'langevin.key')

/** How the server stands to this page. */
export const connection = createStore<'up' | 'gone' | 'locked'>('up')

/** What the server refused, in its own words. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly param: string | undefined

  constructor(status: number, { message, code, param }: { message?: string; code?: string | null; param?: string | null }) {
    super(message || `the server answered ${status}`)
    this.status = status
    this.code = code ?? ''
    this.param = param ?? undefined
  }
}

/** No server answers. */
export class GoneError extends Error {
  constructor() {
    super('The server does not answer.')
  }
}

export interface Asking {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  readonly json?: unknown
  readonly body?: BodyInit
  readonly signal?: AbortSignal
}

/** @throws ApiError, GoneError */
export async function answerTo(path: string, { method, json, body, signal }: Asking = {}): Promise<Response> {
  const headers: Record<string, string> = {}
  if (key.get()) headers.authorization = `Bearer ${key.get()}`
  if (json !== undefined) headers['content-type'] = 'application/json'
  const sent = json !== undefined ? JSON.stringify(json) : body
  let answer: Response
  try {
    answer = await fetch(path, {
      method: method ?? (sent === undefined ? 'GET' : 'POST'),
      headers,
      ...(sent !== undefined && { body: sent }),
      ...(signal && { signal }),
    })
  } catch (error) {
    if (signal?.aborted) throw error
    connection.set('gone')
    throw new GoneError()
  }
  if (answer.status === 401) connection.set('locked')
  if (!answer.ok) throw new ApiError(answer.status, (await answer.json().catch(() => ({}))).error ?? {})
  return answer
}

export const ask = async <T>(path: string, asking?: Asking): Promise<T> => (await answerTo(path, asking)).json()
