import { input, type Tensor } from '../../core/tensor.ts'
import { unet2dCondition } from '../../models/index.ts'
import type { Extras } from '../../models/unet-condition/embeddings.ts'
import type { Residuals } from '../../models/unet-condition/network.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import type { Weights } from '../../runtime/weights.ts'
import type { Components } from './parts.ts'
import type { Condition } from './prompts.ts'

/** One row of the U-Net's batch: what it is told beside its latents. */
export interface Row extends Condition {
  /** XL: sizes and crop, and for the refiner the aesthetic score. */
  readonly timeIds?: readonly number[] | undefined
  /** The ×4 upscaler: how much noise the given picture has. */
  readonly classLabel?: number | undefined
}

/** What a companion sees of the U-Net's inputs, as symbols. The first rows of the batch are the unguided. */
export interface Seen {
  readonly sample: Tensor
  readonly timestep: Tensor
  readonly context: Tensor
  readonly extras: Extras
}

/** Something that acts on the U-Net beside the text: ControlNets, adapters. */
export interface Companion {
  /** Tells graphs apart: companions of one key draw the same. Begins every name of its parameters and inputs. */
  readonly key: string
  readonly weights: Weights
  /** What it hands to the U-Net. */
  draw(seen: Seen): Extras & Residuals
  /** Values of its inputs at a call of the network, counted from 0, of so many. */
  feeds(call: number, calls: number): Readonly<Record<string, NdArray>>
}

/** What one call is told beside its rows. */
export interface Told {
  /** The guidance scale, less 1, that a distilled network is told instead of being guided. */
  readonly embedded?: number | undefined
  readonly companions?: readonly Companion[]
  readonly call?: number
  readonly calls?: number
}

export interface UNet {
  /**
   * sample [R, C, H, W], as the scheduler scales it, at timestep t, a row of the batch for each condition → [R, C', H, W].
   */
  predict(sample: NdArray<'f32'>, t: number, rows: readonly Row[], told?: Told): Promise<NdArray<'f32'>>
  release(): Promise<void>
}

/** A checkpoint's U-Net at work: one program for a shape of its inputs and a set of companions. */
export function unet({ unet: { config, weights } }: Components, options: CompileOptions): UNet {
  interface Graph {
    readonly shapes: Readonly<Record<string, readonly number[]>>
    readonly companions: readonly Companion[]
  }
  const graphs = new Map<string, Graph>()
  const programs = new Programs((key: string) => {
    const { shapes, companions } = graphs.get(key) as Graph
    const at = (name: string) => {
      const shape = shapes[name]
      return shape && input(name, shape, name === 'classLabels' ? 'i64' : 'f32')
    }
    const [sample, timestep, context] = ['sample', 'timestep', 'context'].map(at) as [Tensor, Tensor, Tensor]
    const extras: Extras = {
      textEmbeds: at('textEmbeds'),
      timeIds: at('timeIds'),
      classLabels: at('classLabels'),
      timestepCondition: at('timestepCondition'),
    }
    const given = companions.map((one) => one.draw({ sample, timestep, context, extras }))
    const output = unet2dCondition(new Params(), config)(sample, timestep, context, Object.assign({}, extras, ...given))
    const all = new Map([...weights, ...companions.flatMap((one) => [...one.weights])])
    return compile({ outputs: { output }, weights: all }, options)
  }, 1)

  return {
    async predict(sample, t, rows, { embedded, companions = [], call = 0, calls = 1 } = {}) {
      const own = feedsOf(sample, t, rows)
      if (embedded !== undefined && config.time_cond_proj_dim !== null) {
        own.timestepCondition = guidanceEmbedding(embedded, config.time_cond_proj_dim).expand([
          rows.length,
          config.time_cond_proj_dim,
        ])
      }
      const shapes = Object.fromEntries(Object.entries(own).map(([name, { shape }]) => [name, shape]))
      const key = JSON.stringify([shapes, companions.map((one) => one.key)])
      graphs.set(key, { shapes, companions })
      const feeds = Object.assign({}, own, ...companions.map((one) => one.feeds(call, calls)))
      const program = await programs.get(key)
      return (await program.run(feeds)).output as NdArray<'f32'>
    },
    release: () => programs.release(),
  }
}

function feedsOf(sample: NdArray<'f32'>, t: number, rows: readonly Row[]): Record<string, NdArray> {
  const stacked = <T>(values: readonly (T | undefined)[], make: (values: readonly T[]) => NdArray) =>
    values.every((value) => value !== undefined) ? make(values as readonly T[]) : undefined
  const feeds: Record<string, NdArray | undefined> = {
    sample,
    timestep: NdArray.full([rows.length], t),
    context: NdArray.concat(rows.map(({ context }) => context)),
    textEmbeds: stacked(
      rows.map(({ timeIds, pooled }) => timeIds && pooled),
      (pooled) => NdArray.concat(pooled),
    ),
    timeIds: stacked(
      rows.map(({ timeIds }) => timeIds),
      (ids) => NdArray.from(ids),
    ),
    classLabels: stacked(
      rows.map(({ classLabel }) => classLabel),
      (labels) => new NdArray(BigInt64Array.from(labels, BigInt), [labels.length], 'i64'),
    ),
  }
  return Object.fromEntries(Object.entries(feeds).filter((entry): entry is [string, NdArray] => entry[1] !== undefined))
}

/** The guidance scale w + 1 as a distilled network takes it: f32 [1, width] (Meng et al. 2023; Luo et al. 2023). */
export function guidanceEmbedding(w: number, width: number): NdArray<'f32'> {
  const half = Math.floor(width / 2)
  const angles = Array.from({ length: half }, (_, i) => w * 1000 * Math.exp((-i * Math.log(10000)) / (half - 1)))
  const values = [...angles.map(Math.sin), ...angles.map(Math.cos), ...(width % 2 === 1 ? [0] : [])]
  return NdArray.from(values, [1, width])
}
