import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { HubApiError } from '@huggingface/hub'
import { LangevinError } from '../core/errors.ts'
import { inWords } from '../core/system-error.ts'
import { HubError, type HubOptions } from './hub-types.ts'

export { HubError, type HubOptions, type HubProgress } from './hub-types.ts'

/** What every request is given. */
export function accessOf(model: string, { token = tokenOf(), endpoint = process.env.HF_ENDPOINT, signal }: HubOptions) {
  if (token !== undefined && !token.startsWith('hf_')) throw new HubError(model, `a token of the hub starts with 'hf_'`)
  return {
    ...(token !== undefined && { accessToken: token }),
    ...(endpoint && { hubUrl: endpoint.replace(/\/+$/, '') }),
    fetch: (url: Parameters<typeof fetch>[0], init?: RequestInit) => fetch(url, signal ? { ...init, signal } : init),
  }
}

export const isSet = (value: string | undefined): boolean => /^(1|true|yes|on)$/i.test(value ?? '')

const homeOf = () => process.env.HF_HOME || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface')

export const cacheOf = () => process.env.HF_HUB_CACHE || process.env.HUGGINGFACE_HUB_CACHE || join(homeOf(), 'hub')

function tokenOf(): string | undefined {
  const given = process.env.HF_TOKEN || process.env.HUGGING_FACE_HUB_TOKEN
  if (given) return given.trim()
  const file = process.env.HF_TOKEN_PATH || join(homeOf(), 'token')
  return existsSync(file) ? readFileSync(file, 'utf8').trim() || undefined : undefined
}

/** An answer of the hub, where others are faults of the network or of the disk. */
export const isAnswer = (cause: unknown): cause is HubApiError => cause instanceof Error && 'statusCode' in cause

/** A fault of the disk, as Node tells it. */
const isOfDisk = (cause: unknown): cause is NodeJS.ErrnoException & { readonly path: string } =>
  cause instanceof Error && 'syscall' in cause && 'path' in cause && typeof cause.path === 'string'

/** Why something was not fetched, and what to do. */
export function failure(model: string, cause: unknown, path?: string): LangevinError {
  if (cause instanceof LangevinError) return cause
  const at = path === undefined ? '' : `${path}: `
  if (isOfDisk(cause))
    return new HubError(model, `${at}the cache cannot be read or written: ${inWords(cause)} (${cause.path})`, { cause })
  if (!isAnswer(cause)) {
    const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
    return new HubError(model, `${at}the hub cannot be reached: ${inWords(inner)}`, { cause })
  }
  const why: Readonly<Record<number, string>> = {
    401: 'the hub does not know it, or it is private: check the name, or set HF_TOKEN',
    403: 'it is gated: ask for access on its page, and set HF_TOKEN',
    404: 'the hub does not have it',
  }
  return new HubError(model, at + (why[cause.statusCode] ?? `the hub answered ${cause.statusCode}: ${cause.message}`), { cause })
}
