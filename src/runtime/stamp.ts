import { LangevinError } from '../core/errors.ts'
import { fstatSync, statSync } from './system.ts'

import type { FileTensor } from './weights.ts'

/** A file of weights that another program replaced or rewrote after it was opened: what lies at a tensor's offset now is another's. */
export class StaleFileError extends LangevinError {
  readonly file: string
  /** Stamp when the file was opened. */
  readonly opened: string
  /** Stamp now; undefined where the file is gone. */
  readonly found: string | undefined

  constructor(file: string, opened: string, found: string | undefined) {
    super(
      found === undefined
        ? `${file}: the file has gone since its weights were opened: open the model again`
        : `${file}: the file has changed since its weights were opened (${words(opened)}, now ${words(found)}): open the model again`,
    )
    this.file = file
    this.opened = opened
    this.found = found
  }
}

/** What tells one content of a path from another: device, inode, size in bytes and time of the last change in nanoseconds. */
export function fileStamp(file: string | number): string {
  const { dev, ino, size, mtimeNs } =
    typeof file === 'number' ? fstatSync(file, { bigint: true }) : statSync(file, { bigint: true })
  return [dev, ino, size, mtimeNs].join(' ')
}

/**
 * Holds a stored tensor's file against the stamp that it was opened with; a tensor without a stamp passes.
 *
 * @param fd the file where it is open already
 * @throws StaleFileError
 */
export function checkStamp({ file, stamp }: Pick<FileTensor, 'file' | 'stamp'>, fd?: number): void {
  if (stamp === undefined) return
  let found: string | undefined
  try {
    found = fileStamp(fd ?? file)
  } catch {
    // Gone, or not to be read any more.
  }
  if (found !== stamp) throw new StaleFileError(file, stamp, found)
}

function words(stamp: string): string {
  const [, inode, size, time] = stamp.split(' ')
  return `${size} bytes of ${new Date(Number(BigInt(time ?? 0) / 1_000_000n)).toISOString()}, inode ${inode}`
}
