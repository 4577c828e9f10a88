import { type DType, isFloat } from '../core/dtype.ts'
import { LangevinError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { FileTensor, Weights } from '../runtime/weights.ts'
import { listing } from './errors.ts'

/** What a network asks of a parameter. Without a dtype any will do. */
export interface Expected {
  readonly shape: readonly number[]
  readonly dtype?: DType
}

export interface Mismatch<T> {
  readonly key: string
  readonly expected: T
  readonly got: T
}

interface Differences {
  /** Parameters of the network that the weights lack. */
  readonly missing: readonly string[]
  /** Keys of the weights, as the file spells them, that the network does not have, or that `rename` makes equal to another. */
  readonly unexpected: readonly string[]
  readonly misshaped: readonly Mismatch<readonly number[]>[]
  /** Integers where floats belong, and the like: floats of any width stand for one another. */
  readonly mistyped: readonly Mismatch<DType>[]
}

/** Weights that do not fit a network: every difference at once. */
export class CheckpointError extends LangevinError implements Differences {
  /** The file, folder or network, as the caller named it. */
  readonly place: string
  readonly missing: Differences['missing']
  readonly unexpected: Differences['unexpected']
  readonly misshaped: Differences['misshaped']
  readonly mistyped: Differences['mistyped']

  constructor(place: string, { missing, unexpected, misshaped, mistyped }: Differences) {
    const counts = [
      [missing.length, 'missing'],
      [unexpected.length, 'unexpected'],
      [misshaped.length, 'mis-shaped'],
      [mistyped.length, 'of the wrong type'],
    ] as const
    super(
      [
        `${place}: the weights do not fit the network: ${counts
          .filter(([n]) => n > 0)
          .map(([n, kind]) => `${n} ${kind}`)
          .join(', ')}`,
        ...listing('missing', missing),
        ...listing('unexpected', unexpected),
        ...listing(
          'mis-shaped',
          misshaped.map(({ key, expected, got }) => `${key}: expected [${expected.join(', ')}], got [${got.join(', ')}]`),
        ),
        ...listing(
          'of the wrong type',
          mistyped.map(({ key, expected, got }) => `${key}: expected ${expected}, got ${got}`),
        ),
        remedy(missing, unexpected),
      ].join('\n'),
    )
    this.place = place
    this.missing = missing
    this.unexpected = unexpected
    this.misshaped = misshaped
    this.mistyped = mistyped
  }
}

/**
 * The weights under the network's names, or one error with every difference.
 *
 * @param place what errors call these weights: their file, or the part of the pipeline
 * @param rename from a file's key to the network's, for checkpoints of older layouts
 * @param ignore for keys of the file that are no parameters, as the buffers of older checkpoints
 * @throws CheckpointError
 */
export function matchWeights(
  expected: ReadonlyMap<string, Expected>,
  weights: Weights,
  {
    place,
    rename = (key) => key,
    ignore = () => false,
  }: { place: string; rename?: (key: string) => string; ignore?: (key: string) => boolean },
): Weights {
  const matched = new Map<string, NdArray | FileTensor>()
  const unexpected: string[] = []
  const misshaped: Mismatch<readonly number[]>[] = []
  const mistyped: Mismatch<DType>[] = []
  for (const [key, tensor] of weights) {
    if (ignore(key)) continue
    const name = rename(key)
    const want = expected.get(name)
    if (!want || matched.has(name)) {
      unexpected.push(key)
      continue
    }
    matched.set(name, tensor)
    const { shape, dtype } = tensor
    if (want.shape.length !== shape.length || want.shape.some((axis, i) => axis !== shape[i])) {
      misshaped.push({ key: name, expected: want.shape, got: shape })
    } else if (want.dtype && want.dtype !== dtype && !(isFloat(want.dtype) && isFloat(dtype))) {
      mistyped.push({ key: name, expected: want.dtype, got: dtype })
    }
  }
  const missing = [...expected.keys()].filter((key) => !matched.has(key))
  if (missing.length + unexpected.length + misshaped.length + mistyped.length === 0) return matched
  throw new CheckpointError(place, { missing, unexpected, misshaped, mistyped })
}

/** What to do: where one prefix explains all the keys, that; else look at the config. */
function remedy(missing: readonly string[], unexpected: readonly string[]): string {
  const extra = prefixOf(unexpected, missing)
  if (extra) return `Every key is there behind the prefix '${extra}': remove it with rename.`
  const lacking = prefixOf(missing, unexpected)
  if (lacking) return `Every key is there without the prefix '${lacking}': add it with rename.`
  return `Check that the config belongs to these weights, and that the file is this network's.`
}

/** The prefix that, put before every short key, gives a long one. */
function prefixOf(long: readonly string[], short: readonly string[]): string | undefined {
  const [first] = short
  if (first === undefined) return undefined
  const whole = new Set(long)
  const prefixes = long.filter((key) => key.endsWith(`.${first}`)).map((key) => key.slice(0, -first.length))
  return prefixes.find((prefix) => short.every((key) => whole.has(prefix + key)))
}
