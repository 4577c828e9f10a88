import type { MiddlewareHandler } from 'hono'
import type { Env } from './env.ts'
import { ApiError } from './errors.ts'
import { localUser, type User, type Users } from './users.ts'

/** Whom a server answers. */
export interface Admission {
  readonly users: Users
  /** Host names that requests may be for beside this host's own; where a key is needed and none is named, any. */
  readonly hosts: readonly string[]
  /** Origins of pages that may ask, or `*`; a page of the server's own may. */
  readonly origins: readonly string[]
}

const loopback = /^(localhost|[\w-]+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/i

export const isLoopback = (host: string): boolean => loopback.test(host) || host === '::1'

/** The name in a Host header, without its port. */
const nameIn = (host: string) => host.replace(/:\d+$/, '').toLowerCase()

/**
 * Refuses requests for another host, which a page whose name was made to point here would send, and those of pages of other origins.
 * Answers what browsers ask before they send.
 */
export const checkOrigin = ({ users, hosts, origins }: Admission): MiddlewareHandler<Env> => {
  const named = hosts.map((host) => host.toLowerCase())
  const anyHost = users.needed && named.length === 0
  return async (c, next) => {
    const host = c.req.header('host') ?? ''
    if (!anyHost && !isLoopback(nameIn(host)) && !named.includes(nameIn(host)))
      throw new ApiError(403, `requests for the host ${JSON.stringify(nameIn(host))} are not answered; --allow-host admits it`, {
        code: 'host',
      })
    const origin = c.req.header('origin')
    if (origin !== undefined) {
      const own = URL.parse(origin)?.host === host && host !== ''
      if (!own && !origins.includes('*') && !origins.includes(origin))
        throw new ApiError(403, `pages of ${JSON.stringify(origin)} are not answered; --allow-origin admits them`, {
          code: 'origin',
        })
      c.header('access-control-allow-origin', origin)
      c.header('vary', 'origin')
      c.header('access-control-expose-headers', 'x-request-id, retry-after')
      if (c.req.method === 'OPTIONS') {
        c.header('access-control-allow-methods', 'GET, POST, PATCH, DELETE')
        c.header('access-control-allow-headers', c.req.header('access-control-request-headers') ?? '')
        c.header('access-control-max-age', '600')
        return c.body(null, 204)
      }
    } else if (/^cross-site$/.test(c.req.header('sec-fetch-site') ?? '') && c.req.method !== 'GET')
      throw new ApiError(403, 'requests from other sites are not answered', { code: 'origin' })
    await next()
  }
}

/** The key of a request: a bearer's, `x-api-key`, or the password of basic authentication, which A1111's clients send. */
function keyOf(header: (name: string) => string | undefined): string | undefined {
  const [scheme = '', value = ''] = (header('authorization') ?? '').split(/\s+/)
  if (/^bearer$/i.test(scheme)) return value
  if (/^basic$/i.test(scheme)) return Buffer.from(value, 'base64').toString().split(':').slice(1).join(':')
  return header('x-api-key')
}

/** Puts who asks beside the request. @throws ApiError 401 where no key is given, or a wrong one */
export const authenticate = (users: Users): MiddlewareHandler<Env> => {
  return async (c, next) => {
    c.set(
      'user',
      userOf(
        users,
        keyOf((name) => c.req.header(name)),
      ),
    )
    await next()
  }
}

function userOf(users: Users, key: string | undefined): User {
  if (!users.needed) return localUser
  if (key === undefined || key === '')
    throw new ApiError(401, 'no key: send it as Authorization: Bearer KEY', { code: 'missing_api_key' })
  const user = users.of(key)
  if (!user) throw new ApiError(401, 'this key is not known here', { code: 'invalid_api_key' })
  return user
}
