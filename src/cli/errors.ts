import { CommanderError } from 'commander'
import { ArgumentError, LangevinError } from '../core/errors.ts'

/** Flags or arguments that a command does not take. */
export class UsageError extends LangevinError {}

/** The user asked to stop (Ctrl-C). */
export class InterruptError extends LangevinError {
  constructor() {
    super('interrupted')
  }
}

/** The exit codes of every command. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, interrupted: 130 } as const

/** The one mapping from errors to exit codes. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  if (error instanceof InterruptError) return exitCodes.interrupted
  if (error instanceof UsageError || error instanceof ArgumentError) return exitCodes.usage
  return exitCodes.failure
}

/** What a person reads of an error: the message where we threw it on purpose, the stack where we did not. */
export function explain(error: unknown): string {
  if (error instanceof CommanderError) return error.message.replace(/^error: /, '')
  if (error instanceof LangevinError) return error.message
  return `unexpected error, please report it\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
}
