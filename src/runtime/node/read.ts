import { closeSync, openSync, readSync } from 'node:fs'
import type { FileRange } from '../../core/onnx/types.ts'
import { inWords } from '../../core/system-error.ts'
import { EngineError } from '../engine-error.ts'
import { checkStamp } from '../stamp.ts'

/** Bytes that the system reads or writes at a time, at most. */
export const MOST_AT_ONCE = 2 ** 30

/**
 * Fills `into` from a file's range.
 * @throws StaleFileError for a file that was replaced since it was opened, EngineError for one that ends before
 */
export function readFully(range: FileRange, into: Uint8Array): Uint8Array {
  const { file, offset } = range
  const fd = opened(file)
  try {
    checkStamp(range, fd)
    for (let done = 0; done < into.length; ) {
      const got = readSync(fd, into, done, Math.min(into.length - done, MOST_AT_ONCE), offset + done)
      if (got === 0) throw new EngineError(`${file} ends before a weight of ${into.length} bytes at ${offset}`)
      done += got
    }
  } finally {
    closeSync(fd)
  }
  return into
}

function opened(file: string): number {
  try {
    return openSync(file, 'r')
  } catch (cause) {
    throw cannotOpen(file, cause)
  }
}

export const cannotOpen = (file: string, cause: unknown) =>
  new EngineError(`the weights' file ${file} cannot be opened: ${inWords(cause)}`, { cause })
