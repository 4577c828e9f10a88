import { listing } from '../checkpoints/errors.ts'
import { LangevinError } from '../core/errors.ts'

/** A file of a dataset that cannot be used, and why. */
export interface BrokenFile {
  /** Relative to the dataset's folder; with `:line` for a line of a metadata file. */
  readonly file: string
  readonly reason: string
}

/** A dataset that cannot be read: all of its broken files at once. */
export class DataError extends LangevinError {
  readonly dir: string
  readonly broken: readonly BrokenFile[]

  constructor(dir: string, summary: string, broken: readonly BrokenFile[] = [], options?: ErrorOptions) {
    super(
      [
        `${dir}: ${summary}`,
        ...listing(
          'broken files',
          broken.map(({ file, reason }) => `${file}: ${reason}`),
        ),
      ].join('\n'),
      options,
    )
    this.dir = dir
    this.broken = broken
  }
}
