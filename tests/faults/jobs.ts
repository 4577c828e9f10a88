import { createHash, randomUUID } from 'node:crypto'
import type { Served } from '../serve/process.ts'

/** A model that a step takes milliseconds of. */
export const small = 'parity/fixtures/stable-diffusion/sd1'
export const flags = ['--models', small, '--threads', '1']

export interface Shown {
  readonly id: string
  readonly state: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'
  readonly error?: { readonly fault: string; readonly message: string }
  readonly result?: { readonly files: readonly { readonly file: string }[] }
}

/** Adds a job, trying again while the server is away: the key makes that harmless. */
export async function accepted(
  served: () => Served,
  options: Record<string, unknown>,
  { model = 'sd1', patience = 60_000 } = {},
): Promise<string> {
  const key = randomUUID()
  for (const began = Date.now(); ; await new Promise((later) => setTimeout(later, 100))) {
    try {
      const answer = await served().ask('/v1/jobs', {
        json: { model, options: { prompt: 'a fox', steps: 4, ...options } },
        headers: { 'idempotency-key': key },
        signal: AbortSignal.timeout(5000),
      })
      if (answer.status === 202 || answer.status === 200) return ((await answer.json()) as Shown).id
      if (answer.status < 500 && answer.status !== 429) throw new TypeError(`${answer.status}: ${await answer.text()}`)
    } catch (error) {
      if (error instanceof TypeError && /^\d{3}:/.test(error.message)) throw error
    }
    if (Date.now() - began > patience) throw new Error(`no job was accepted within ${patience} ms`)
  }
}

export async function shownJob(served: Served, id: string): Promise<Shown | undefined> {
  try {
    const answer = await served.ask(`/v1/jobs/${id}`, { signal: AbortSignal.timeout(5000) })
    return answer.ok ? ((await answer.json()) as Shown) : undefined
  } catch {
    return undefined
  }
}

export const over = ({ state }: Shown): boolean => state === 'completed' || state === 'failed' || state === 'cancelled'

/** The files of a job's result, read through the server, whose names are not the hash of their bytes. */
export async function brokenFiles(served: Served, { result }: Shown): Promise<string[]> {
  const broken: string[] = []
  for (const { file } of result?.files ?? []) {
    const bytes = new Uint8Array(await (await served.ask(`/v1/files/${file}/content`)).arrayBuffer())
    if (createHash('sha256').update(bytes).digest('hex') !== file) broken.push(file)
  }
  return broken
}
