import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { ArgumentError } from '../core/errors.ts'
import { inWords } from '../core/system-error.ts'

/** Who asks. */
export interface User {
  readonly name: string
  /** Whether others' jobs may be seen, and the queue be paused. */
  readonly admin: boolean
  /** Most jobs of theirs that may wait at once. */
  readonly waiting: number | undefined
  /** Most requests in a minute that make something. */
  readonly perMinute: number | undefined
}

/** Who asks where no key is needed. */
export const localUser: User = { name: 'local', admin: true, waiting: undefined, perMinute: undefined }

const listed = z
  .array(
    z
      .strictObject({
        name: z.string().regex(/^[\w.@-]{1,64}$/, 'expected letters, digits, and . @ - _'),
        key: z.string().min(8).optional(),
        sha256: z
          .string()
          .regex(/^[0-9a-f]{64}$/)
          .optional(),
        admin: z.boolean().default(false),
        waiting: z.int().positive().optional(),
        perMinute: z.int().positive().optional(),
      })
      .refine(({ key, sha256 }) => (key === undefined) !== (sha256 === undefined), 'expected one of key and sha256'),
  )
  .min(1)

/** Keys and whose they are. Without one, everybody is the local user. */
export class Users {
  readonly #keys: readonly { readonly digest: Uint8Array; readonly user: User }[]

  constructor(keys: readonly { readonly digest: Uint8Array; readonly user: User }[]) {
    this.#keys = keys
  }

  /** Whether a key has to be given. */
  get needed(): boolean {
    return this.#keys.length > 0
  }

  /** Whose key it is. Takes the same time for every key. */
  of(key: string): User | undefined {
    const given = digestOf(key)
    let found: User | undefined
    for (const { digest, user } of this.#keys) if (timingSafeEqual(given, digest)) found ??= user
    return found
  }
}

const digestOf = (key: string) => createHash('sha256').update(key).digest()

/**
 * Users by one key, and by a file: `[{ "name": "ann", "key": "…", "waiting": 10, "perMinute": 60 }]`, where `sha256` may stand for the key.
 *
 * @throws ArgumentError for a file that is none
 */
export function usersOf({ key, file }: { readonly key?: string | undefined; readonly file?: string | undefined }): Users {
  const own = key === undefined ? [] : [{ digest: digestOf(key), user: { ...localUser } }]
  return new Users([...own, ...(file === undefined ? [] : usersIn(file))])
}

function usersIn(file: string) {
  let content: unknown
  try {
    content = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new ArgumentError(`--keys: ${file}: ${cause instanceof SyntaxError ? cause.message : inWords(cause)}`, { cause })
  }
  const parsed = listed.safeParse(content)
  if (!parsed.success) throw new ArgumentError(`--keys: ${file}: ${z.prettifyError(parsed.error)}`)
  return parsed.data.map(({ key, sha256, name, admin, waiting, perMinute }) => ({
    digest: key === undefined ? Buffer.from(sha256 as string, 'hex') : digestOf(key),
    user: { name, admin, waiting, perMinute },
  }))
}

/** Counts requests by the minute. */
export class Pace {
  readonly #counts = new Map<string, { minute: number; count: number }>()

  /** Seconds to wait, or 0 where the request may go on. */
  wait({ name, perMinute }: User, now = Date.now()): number {
    if (perMinute === undefined) return 0
    const minute = Math.floor(now / 60_000)
    const known = this.#counts.get(name)
    const count = known?.minute === minute ? known.count : 0
    if (count >= perMinute) return Math.max(1, Math.ceil(60 - (now % 60_000) / 1000))
    this.#counts.set(name, { minute, count: count + 1 })
    return 0
  }
}
