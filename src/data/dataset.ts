import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'
import { hashOf, mix } from './hash.ts'

/** Examples as training takes them. */
export interface Batch {
  /** [B, C, H, W] in [−1, 1]; C is 3 but where a dataset says 1. */
  readonly images: NdArray<'f32'>
  /** Control images of the pictures, [B, C, H, W] in [−1, 1], where a dataset has them. */
  readonly conditions?: NdArray<'f32'>
  /** One for each picture, empty where there is none. */
  readonly captions: readonly string[]
  /** [B], numbers of `classes`. */
  readonly labels: NdArray<'i64'>
}

/**
 * An endless stream of examples. Position p is example p mod length of epoch ⌊p / length⌋, and every epoch has its own order
 * and its own augmentation. What stands at a position depends on the dataset's options and its seed alone, so that one number
 * is the whole state of a reader: a run that resumes at a position sees what it would have seen.
 */
export interface Dataset<B extends Batch = Batch> {
  /** Examples in an epoch. */
  readonly length: number
  /** [C, H, W] of a picture. */
  readonly shape: readonly [number, number, number]
  /** What the labels stand for. */
  readonly classes: readonly string[]
  /** What tells it from other datasets, where files make it. */
  readonly fingerprint?: string
  batch(positions: readonly number[]): Promise<B>
}

/** A position in a dataset, as epoch and index. */
export interface Cursor {
  readonly epoch: number
  /** Examples of the epoch that were read. */
  readonly index: number
}

export const cursorAt = (position: number, length: number): Cursor => ({
  epoch: Math.floor(position / length),
  index: position % length,
})

export const positionOf = ({ epoch, index }: Cursor, length: number): number => epoch * length + index

export interface BatchesOptions {
  readonly batchSize: number
  /** Where to go on: the `next` of a batch that was read before. */
  readonly from?: Cursor
  /** Epochs after which to stop; without it the stream does not end. The last batch of the last epoch may be smaller. */
  readonly epochs?: number
}

/** Reads a dataset in order, one batch ahead. `next` is the cursor to save with what was learnt from the batch. */
export async function* batches<B extends Batch>(
  dataset: Dataset<B>,
  { batchSize, from = { epoch: 0, index: 0 }, epochs = Number.POSITIVE_INFINITY }: BatchesOptions,
): AsyncGenerator<{ readonly batch: B; readonly next: Cursor }, void> {
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new ArgumentError(`batches: expected a batchSize of 1 or more, got ${batchSize}`)
  const { length } = dataset
  if (
    !(Number.isInteger(from.epoch) && from.epoch >= 0 && Number.isInteger(from.index) && from.index >= 0 && from.index < length)
  )
    throw new ArgumentError(`batches: epoch ${from.epoch}, index ${from.index} is no place in a dataset of ${length}`)
  const end = epochs * length
  const read = (start: number) => {
    const count = Math.min(batchSize, end - start)
    const batch = count > 0 ? dataset.batch(Array.from({ length: count }, (_, i) => start + i)) : undefined
    // A batch that is never taken must not end the process with its error.
    batch?.catch(() => undefined)
    return batch
  }
  let position = positionOf(from, length)
  for (let ahead = read(position); ahead; ) {
    const current = ahead
    position = Math.min(position + batchSize, end)
    ahead = read(position)
    yield { batch: await current, next: cursorAt(position, length) }
  }
}

/** Examples drawn at random from the first 2³² positions: for a trainer that keeps a generator and no cursor. */
export function sampleBatch<B extends Batch>(dataset: Dataset<B>, generator: Generator, batchSize: number): Promise<B> {
  return dataset.batch(Array.from({ length: batchSize }, () => generator.bits()))
}

/** Labels as the networks take them. */
export function labelsOf(labels: readonly number[]): NdArray<'i64'> {
  return new NdArray(BigInt64Array.from(labels, BigInt), [labels.length], 'i64')
}

/**
 * The order of an endless stream: position → example, every epoch a permutation of its own. Any position is found at once,
 * without the ones before it: a Feistel network over the next power of four, walked until it lands below `length`
 * (Black and Rogaway 2002).
 */
export function epochOrder(seed: number | bigint, length: number): (position: number) => number {
  const half = Math.max(1, Math.ceil(Math.log2(length) / 2))
  const mask = 2 ** half - 1
  return (position) => {
    const key = hashOf(`order ${seed} ${Math.floor(position / length)}`)
    let at = position % length
    do {
      let left = at >>> half
      let right = at & mask
      for (let round = 1; round <= 4; round++) {
        const mixed = left ^ (mix(right ^ Math.imul(key, round) ^ (round << 28)) & mask)
        left = right
        right = mixed
      }
      at = ((left << half) | right) >>> 0
    } while (at >= length)
    return at
  }
}
