import { input, type Tensor } from '../../core/tensor.ts'
import { type UNet2DConditionConfig, unet2dCondition } from '../../models/index.ts'
import type { Extras } from '../../models/unet-condition/embeddings.ts'
import type { Residuals } from '../../models/unet-condition/network.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, type Computation, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { Calibration, type Quantize, type Ranges } from '../../runtime/quantize.ts'
import type { Weights } from '../../runtime/weights.ts'
import { keepRanges, keptRanges } from './calibrations.ts'
import type { Components } from './parts.ts'
import type { Condition } from './prompts.ts'
import { CachedSteps, checkCache, cutDeep, type StepCache } from './step-cache.ts'

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
  /** Whether `predict` needs ranges first, which nothing has found for these companions. */
  needsCalibration(companions: readonly Companion[]): boolean
  /** Calls of `predict` within `run` are in float, and find the ranges. */
  calibrate(run: () => Promise<void>): Promise<void>
  release(): Promise<void>
}

export interface UNetOptions {
  readonly quantize?: 'int8' | 'int4' | undefined
  readonly cache?: StepCache | undefined
}

interface Drawing {
  readonly shapes: Readonly<Record<string, readonly number[]>>
  readonly companions: readonly Companion[]
}

/** Which outputs of the network a program gives. */
type Part = 'whole' | 'full' | 'shallow'

/** A checkpoint's U-Net at work: one program for a shape of its inputs and a set of companions; with a step cache two. */
export function unet(
  { unet: network }: Pick<Components, 'unet'>,
  options: CompileOptions,
  { quantize, cache }: UNetOptions = {},
): UNet {
  if (cache) checkCache(cache)
  const drawings = new Map<string, Drawing>()
  const ranges = new Map<string, Ranges>()
  let calibration: Calibration | undefined
  let calibrating = false
  const weightsOf = (companions: readonly Companion[]): Weights =>
    new Map([...network.weights, ...companions.flatMap((one) => [...one.weights])])
  const keyOf = (companions: readonly Companion[]) => JSON.stringify(companions.map((one) => one.key))

  function computation({ shapes, companions }: Drawing, part: Part): Computation {
    const output = draw(network.config, shapes, companions)
    const outputs = part === 'whole' ? { output } : cutDeep(output)[part]
    return { outputs, weights: weightsOf(companions) }
  }
  function quantization(companions: readonly Companion[]): Quantize | undefined {
    if (quantize !== 'int8') return quantize && { kind: quantize }
    return { kind: quantize, ranges: ranges.get(keyOf(companions)) ?? {} }
  }
  const programs = new Programs(
    (key: string) => {
      const [part, drawing] = JSON.parse(key) as [Part, string]
      const drawn = drawings.get(drawing) as Drawing
      return compile(computation(drawn, part), { ...options, quantization: quantization(drawn.companions) })
    },
    cache ? 2 : 1,
  )
  let steps: { readonly drawing: string; readonly of: CachedSteps } | undefined

  return {
    async predict(sample, t, rows, { embedded, companions = [], call = 0, calls = 1 } = {}) {
      const own = feedsOf(sample, t, rows)
      const { time_cond_proj_dim: width } = network.config
      if (embedded !== undefined && width !== null) {
        own.timestepCondition = guidanceEmbedding(embedded, width).expand([rows.length, width])
      }
      const shapes = Object.fromEntries(Object.entries(own).map(([name, { shape }]) => [name, shape]))
      const drawing = JSON.stringify([shapes, keyOf(companions)])
      drawings.set(drawing, { shapes, companions })
      const feeds = Object.assign({}, own, ...companions.map((one) => one.feeds(call, calls)))
      if (calibrating) {
        calibration ??= await Calibration.compile(computation({ shapes, companions }, 'whole'), options)
        const { output } = await calibration.run(feeds)
        ranges.set(keyOf(companions), calibration.ranges)
        return output as NdArray<'f32'>
      }
      const run = async (part: Part, more: Readonly<Record<string, NdArray>> = {}) => {
        const program = await programs.get(JSON.stringify([part, drawing]))
        return program.run({ ...feeds, ...more })
      }
      if (!cache) return (await run('whole')).output as NdArray<'f32'>
      if (steps?.drawing !== drawing) steps = { drawing, of: new CachedSteps(cache) }
      return (await steps.of.step(
        call,
        () => run('full'),
        (deep) => run('shallow', { deep }),
      )) as NdArray<'f32'>
    },
    needsCalibration(companions) {
      if (quantize !== 'int8') return false
      const key = keyOf(companions)
      const known = ranges.get(key) ?? keptRanges(weightsOf(companions))
      if (known) ranges.set(key, known)
      return known === undefined
    },
    async calibrate(run) {
      calibrating = true
      try {
        await run()
        const drawn = [...drawings.values()].at(-1)
        const found = drawn && ranges.get(keyOf(drawn.companions))
        if (drawn && found) keepRanges(weightsOf(drawn.companions), found)
      } finally {
        calibrating = false
        await calibration?.release()
        calibration = undefined
      }
    },
    release: () => programs.release(),
  }
}

/** The network's output for inputs of these shapes. */
function draw(
  config: UNet2DConditionConfig,
  shapes: Readonly<Record<string, readonly number[]>>,
  companions: readonly Companion[],
): Tensor {
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
  return unet2dCondition(new Params(), config)(sample, timestep, context, Object.assign({}, extras, ...given))
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
