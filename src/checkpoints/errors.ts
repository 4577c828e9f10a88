import { LangevinError } from '../core/errors.ts'
import { inWords } from '../core/system-error.ts'

/** The start of a string from a file, safe to print: quoted, escaped, at most about 120 characters. */
export function quote(text: string): string {
  return text.length > 120 ? `${JSON.stringify(text.slice(0, 120))}… (${text.length} characters)` : JSON.stringify(text)
}

/** A file that breaks a rule of the safetensors format, or a tensor that cannot be written in it. */
export class SafetensorsError extends LangevinError {
  readonly file: string
  /** The key of the tensor at fault, where there is one. */
  readonly tensor: string | undefined
  readonly reason: string

  constructor(file: string, reason: string, { tensor, cause }: { tensor?: string; cause?: unknown } = {}) {
    super(`${file}: ${tensor === undefined ? '' : `tensor ${quote(tensor)}: `}${reason}`, { cause })
    this.file = file
    this.tensor = tensor
    this.reason = reason
  }
}

const asSafetensors =
  "Convert it to safetensors in Python: safetensors.torch.save_file(torch.load(path, weights_only=True), 'model.safetensors')"

/**
 * A Python pickle that is not read: one under the name of another format, or one that is more than a state dict. Reading such a one
 * as Python does can run any code that its author chose.
 */
export class PickleError extends LangevinError {
  readonly file: string
  /** What stands in the way; undefined where the file was expected to be safetensors. */
  readonly reason: string | undefined

  constructor(file: string, reason?: string, { cause, remedy = asSafetensors }: { cause?: unknown; remedy?: string } = {}) {
    const what =
      reason === undefined
        ? 'this is a pickle, which can run code when it is read'
        : `this is a pickle that is not read: ${reason}`
    super(`${file}: ${what}. ${remedy}`, { cause })
    this.file = file
    this.reason = reason
  }
}

/** A JSON file of a model's folder that is missing or does not hold what it must. */
export class ConfigError extends LangevinError {
  readonly file: string
  /** Path of the field at fault, as `weight_map.conv_in.bias`. */
  readonly field: string | undefined

  constructor(file: string, reason: string, { field, cause }: { field?: string; cause?: unknown } = {}) {
    super(`${file}: ${field === undefined ? '' : `${field}: `}${reason}`, { cause })
    this.file = file
    this.field = field
  }
}

/** A folder in which no weights can be opened. */
export class FolderError extends LangevinError {
  readonly folder: string

  constructor(folder: string, reason: string) {
    super(`${folder}: ${reason}`)
    this.folder = folder
  }
}

/** A file that could not be written. What stood under its name before still stands. */
export class SaveError extends LangevinError {
  readonly file: string

  constructor(file: string, cause: unknown) {
    super(`${file}: cannot be written: ${inWords(cause)}`, { cause })
    this.file = file
  }
}

/** Up to `most` lines, then how many more there are. */
export function listing(title: string, lines: readonly string[], most = 20): string[] {
  if (lines.length === 0) return []
  const rest = lines.length - most
  return [`${title}:`, ...lines.slice(0, most).map((line) => `  ${line}`), ...(rest > 0 ? [`  … and ${rest} more`] : [])]
}

/** A sharded checkpoint whose index and shards disagree: everything that does, at once. */
export class ShardError extends LangevinError {
  readonly file: string
  /** Files that the index names and the folder lacks. */
  readonly missingShards: readonly string[]
  /** Keys that the index places in a shard which has no such tensor. */
  readonly missing: readonly { key: string; shard: string }[]
  /** Tensors of a shard that the index does not place there. */
  readonly unlisted: readonly { key: string; shard: string }[]

  constructor(file: string, { missingShards, missing, unlisted }: Pick<ShardError, 'missingShards' | 'missing' | 'unlisted'>) {
    const line = ({ key, shard }: { key: string; shard: string }) => `${key} (${shard})`
    super(
      [
        `${file}: the index and its shards disagree: ${missingShards.length} shards missing, ` +
          `${missing.length} keys not in their shard, ${unlisted.length} keys not in the index`,
        ...listing('shards missing', missingShards),
        ...listing('keys not in their shard', missing.map(line)),
        ...listing('keys not in the index', unlisted.map(line)),
        'Download or copy the whole folder again.',
      ].join('\n'),
    )
    this.file = file
    this.missingShards = missingShards
    this.missing = missing
    this.unlisted = unlisted
  }
}
