import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LineChart } from '../images/index.ts'
import { train } from '../training/index.ts'
import { openRecipe, parseRecipe, prepare, type RecipeJson } from './open.ts'
import { trainedModel } from './stored.ts'
import { classToImageSchema } from './tasks/class-to-image/schema.ts'
import { storedAutoencoder } from './tasks/text-to-image/pipeline-folder.ts'

/** A network of one size, and the error that it had left after its steps. */
export interface ScalingPoint {
  readonly patch: number
  readonly blocks: number
  readonly parameters: number
  /** Multiplications and additions, in pairs, of one picture's forward pass: products of matrices and attention. */
  readonly operations: number
  /** Mean squared error of the velocities, over the last quarter of the steps. */
  readonly loss: number
}

export interface ScalingOptions {
  readonly steps: number
  readonly patches?: readonly number[]
  readonly blocks?: readonly number[]
  /** A recipe of type `class-to-image` whose data and latents are learnt. */
  readonly recipe?: RecipeJson
  readonly threads?: number
  readonly signal?: AbortSignal | undefined
  readonly onStep?: (step: { readonly stage: string; readonly done: number; readonly total: number }) => void
}

const HEADS = 3
const HEAD = 32
const WIDTH = HEADS * HEAD

/** The data of the bundled model by class, of which few pictures are enough. */
const stickers = (): RecipeJson => ({ recipe: 'class-to-image', ...openRecipe('stickers-dit').config, pool: 512 })

/**
 * Trains small diffusion transformers that differ in their patches and their depth, for equally many steps on the same batches (Peebles
 * and Xie 2023, section 5: patches of half the side are four times the tokens with the same parameters).
 */
export async function measureScaling(options: ScalingOptions): Promise<ScalingPoint[]> {
  const { steps, patches = [8, 4, 2], blocks: depths = [1, 2, 4], recipe = stickers(), threads = 1, signal, onStep } = options
  const found: ScalingPoint[] = []
  const side = latentSide(recipe)
  for (const patch of patches)
    for (const blocks of depths) {
      const transformer = { num_layers: blocks, num_attention_heads: HEADS, attention_head_dim: HEAD, patch_size: patch }
      const { job, config } = await prepare(parseRecipe({ ...recipe, transformer }, 'scaling'), { train_batch_size: 32, seed: 0 })
      const dir = mkdtempSync(join(tmpdir(), 'langevin-scaling-'))
      try {
        const losses: number[] = []
        const run = train(job.task, {
          ...{ dir, steps, threads, seed: config.seed, optimizer: config.optimizer, ema: 0, warmup: 20, checkpointEvery: steps },
          ...{ learningRate: config.learning_rate, rateSchedule: 'constant' as const, ...(signal && { signal }) },
        })
        for await (const { step, metrics } of run) {
          losses.push(metrics.error as number)
          onStep?.({ stage: `patches of ${patch}, ${blocks} blocks`, done: step, total: steps })
        }
        signal?.throwIfAborted()
        const last = losses.slice(-Math.ceil(steps / 4))
        found.push({
          ...{ patch, blocks, parameters: job.task.params.count, operations: operationsOf((side / patch) ** 2, blocks) },
          loss: last.reduce((sum, one) => sum + one, 0) / last.length,
        })
      } finally {
        rmSync(dir, { recursive: true, force: true })
      }
    }
  return found
}

/** Latents a side. */
function latentSide({ recipe: _, training: __, ...fields }: RecipeJson): number {
  const { resolution, vae } = classToImageSchema.parse(fields)
  return resolution / 2 ** (storedAutoencoder(trainedModel(vae)).config.block_out_channels.length - 1)
}

const operationsOf = (tokens: number, blocks: number): number => blocks * (12 * tokens * WIDTH ** 2 + 2 * tokens ** 2 * WIDTH)

/** The error left, against the cost of a picture: a line for each patch, a point for each depth. */
export function scalingChart(points: readonly ScalingPoint[], steps: number): LineChart {
  const lines = Map.groupBy(points, ({ patch }) => patch)
  return {
    title: 'Diffusion transformers: smaller patches, more blocks',
    subtitle: `Error after ${steps} steps on the same batches; ${WIDTH} channels; along a line ${[...new Set(points.map(({ blocks }) => blocks))].join(', ')} blocks`,
    x: { name: 'multiplications of one picture, millions', scale: 'log' },
    y: { name: 'mean squared error' },
    series: [...lines].map(([patch, own]) => ({
      name: `patches of ${patch}×${patch}`,
      markers: true,
      points: own.map(({ operations, loss }) => [operations / 1e6, loss] as const),
    })),
    width: 800,
    height: 520,
  }
}
