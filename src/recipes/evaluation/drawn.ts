import type { StickerDataset } from '../../data/index.ts'
import { Generator } from '../../runtime/random.ts'
import { trainingSchema } from '../../training/options.ts'
import { type StickersConfig, stickersOf } from '../data.ts'
import type { RecipeJson } from '../open.ts'

/** Pictures that a training run drew, by their positions in its dataset. */
export interface DrawnPictures {
  readonly dataset: StickerDataset
  readonly positions: readonly number[]
  /** How many the run drew in all. */
  readonly all: number
}

/**
 * Positions that a run drew its pictures at, evenly spread over it: `sampleBatch` takes them from the generator that each batch of a
 * step has.
 *
 * @param steps how many the run made
 * @param count at most so many
 */
export function drawnPositions(training: unknown, steps: number, count: number): { positions: number[]; all: number } {
  const { seed, train_batch_size: size, gradient_accumulation_steps, num_processes } = trainingSchema.parse(training)
  const batches = gradient_accumulation_steps * num_processes
  const all = steps * batches * size
  const root = new Generator(seed)
  const some = Math.min(count, all)
  const positions: number[] = []
  let batch = -1
  let own: number[] = []
  for (let i = 0; i < some; i++) {
    const at = Math.floor((i * all) / some)
    if (Math.floor(at / size) !== batch) {
      batch = Math.floor(at / size)
      const generator = root.fork(`batch ${Math.floor(batch / batches) + 1} ${batch % batches}`)
      own = Array.from({ length: size }, () => generator.bits())
    }
    positions.push(own[at % size] as number)
  }
  return { positions, all }
}

/** Pictures that a run of stickers drew, as its recipe says. */
export async function drawnPictures(
  { training = {} }: RecipeJson,
  { data, size, steps, count }: { data: StickersConfig; size: number; steps: number; count: number },
): Promise<DrawnPictures> {
  const { seed } = trainingSchema.parse(training)
  return { dataset: await stickersOf(data, { size, seed }), ...drawnPositions(training, steps, count) }
}
