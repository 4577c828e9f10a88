import { LangevinError } from '../../core/errors.ts'
import { ImageError } from '../../images/errors.ts'
import { JobError } from '../errors.ts'

const memory =
  /bad_alloc|out of memory|failed to allocate|array buffer allocation failed|invalid typed array length|ENOMEM|BFCArena/i

/** What went wrong while a model was opened. */
export function openingFault(error: unknown): JobError {
  if (error instanceof JobError) return error
  const message = messageOf(error)
  if (memory.test(message)) return tooLarge(error)
  return new JobError('model_failed', message, { cause: error })
}

/** What went wrong while a model ran. */
export function runningFault(error: unknown): JobError {
  if (error instanceof JobError) return error
  const message = messageOf(error)
  if (memory.test(message)) return tooLarge(error)
  if (error instanceof ImageError && error.fault === 'values')
    return new JobError('not_finite', `the network gave numbers that are no picture (${message}); try other options`, {
      cause: error,
    })
  const { code } = error as NodeJS.ErrnoException
  if (/ENOSPC|EDQUOT|EROFS|EACCES/.test(`${code} ${message}`)) return new JobError('storage', message, { cause: error })
  // What we throw on purpose of a run is about its options: pages hold them against the model.
  if (error instanceof LangevinError) return new JobError('invalid_options', message, { param: paramOf(message), cause: error })
  return new JobError('internal', message, { cause: error })
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

const tooLarge = (cause: unknown) =>
  new JobError('out_of_memory', 'the machine has not the memory for this; ask for a smaller picture or fewer of them', { cause })

/** `width and height must be …` → `width`: pages begin with the option that they speak of. */
function paramOf(message: string): string | undefined {
  return /(?:^|: )([a-z]\w*)(?: and \w+)?(?::| must| is| are| need)/.exec(message)?.[1]
}
