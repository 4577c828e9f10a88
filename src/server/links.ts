import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeAtomic } from '../checkpoints/atomic.ts'

/** Addresses of files that need no key for as long as they hold, as a page's `<img>` and OpenAI's `url` want. */
export interface Links {
  /** The path and query of a file's address. */
  to(owner: string, file: string, now?: number): string
  holds(
    file: string,
    query: { readonly owner?: string; readonly expires?: string; readonly signature?: string },
    now?: number,
  ): boolean
}

/** Milliseconds that an address holds. */
const HOLDS = 3600 * 1000

export function linksOf(secret: string): Links {
  const sign = (owner: string, file: string, expires: number) =>
    createHmac('sha256', secret)
      .update(JSON.stringify([owner, file, expires]))
      .digest()
  return {
    to(owner, file, now = Date.now()) {
      const expires = now + HOLDS
      const query = new URLSearchParams({
        owner,
        expires: String(expires),
        signature: sign(owner, file, expires).toString('base64url'),
      })
      return `/v1/files/${file}/content?${query}`
    },
    holds(file, { owner, expires = '', signature = '' }, now = Date.now()) {
      const given = Buffer.from(signature, 'base64url')
      if (owner === undefined || !/^\d{1,16}$/.test(expires) || Number(expires) < now) return false
      const right = sign(owner, file, Number(expires))
      return given.length === right.length && timingSafeEqual(given, right)
    },
  }
}

/** `LANGEVIN_SECRET`, which several servers share, or the data folder's, made where there is none: addresses outlive the server that gave them. */
export function secretIn(data: string): string {
  if (process.env.LANGEVIN_SECRET) return process.env.LANGEVIN_SECRET
  const file = join(data, 'secret')
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    const secret = randomBytes(32).toString('hex')
    writeAtomic(file, `${secret}\n`, 0o600)
    return secret
  }
}
