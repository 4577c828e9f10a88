import { ArgumentError } from '../core/errors.ts'
import { ApiError } from './errors.ts'

/** What is asked for, as a content filter is told. */
export interface Asked {
  readonly user: string
  readonly model: string
  readonly prompt: string
  readonly options: Readonly<Record<string, unknown>>
}

/** A content filter: gives why a request is refused, or nothing. */
export type Moderation = (asked: Asked) => Promise<string | undefined> | string | undefined

/** @throws ApiError where the filter refuses */
export type Moderate = (asked: Asked) => Promise<void>

export const noModeration: Moderate = async () => {}

/** The default export of a module of the user's as the filter. @throws ArgumentError where it is no function */
export async function moderationIn(module: string): Promise<Moderate> {
  const { default: filter } = (await import(module)) as { default?: unknown }
  if (typeof filter !== 'function') throw new ArgumentError(`--moderation: ${module} has no default export that is a function`)
  return async (asked) => {
    const refused = await (filter as Moderation)(asked)
    if (refused) throw new ApiError(400, refused, { code: 'moderation_blocked', param: 'prompt' })
  }
}
