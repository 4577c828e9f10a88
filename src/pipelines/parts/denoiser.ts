import { ArgumentError } from '../../core/errors.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, type Computation, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { Calibration, type Quantize, type Ranges } from '../../runtime/quantize.ts'
import type { Weights } from '../../runtime/weights.ts'
import { type BuiltOf, build, type ClassName, type ConfigOf } from '../open/classes.ts'
import { keepRanges, keptRanges } from './calibrations.ts'
import { CachedSteps, checkCache, cutDeep, type StepCache } from './step-cache.ts'
import { turns } from './turns.ts'

/**
 * What the network is conditioned on in one entry of its batch, by the names of its inputs: each [1, …], such as `context`
 * [1, M, D], `textEmbeds` [1, P], `classLabels` i64 [1].
 */
export type BatchEntry = Readonly<Record<string, NdArray | undefined>>

/** Inputs of a network as symbols: `sample` [R, C, …], `timestep` f32 [R], and what the entries hold, [R, …] each. */
export type Inputs = Readonly<Record<string, Tensor>>

/** Something that acts on a network beside its inputs: ControlNets, adapters. The first entries of the batch are the unguided. */
export interface Conditioner {
  /** Tells graphs apart: conditioners of one key trace the same graph. Names of their parameters and inputs differ. */
  readonly key: string
  readonly weights: Weights
  /** What it hands to the network, by the network's own names. */
  trace(inputs: Inputs): Readonly<Record<string, unknown>>
  /** Values of its inputs at a call of the network, counted from 0, of so many. */
  feeds(call: number, calls: number): Readonly<Record<string, NdArray>>
}

/** How a network's function is called: its output from its inputs, and from what conditioners hand to it. */
export type Trace<N extends ClassName> = (
  network: BuiltOf<N>,
  inputs: Inputs,
  conditioned: Readonly<Record<string, unknown>>,
) => Tensor

/** Where a call stands in its picture's run. */
export interface Call {
  readonly call?: number
  readonly calls?: number
}

/** A network's calls of one run, with what the run keeps from step to step. */
export interface DenoiserRun {
  /** sample [R, C, …], as the scheduler scales it, at timestep t, one entry of the batch each → the network's output [R, C', …]. */
  predict(sample: NdArray<'f32'>, t: number, entries: readonly BatchEntry[], at?: Call): Promise<NdArray<'f32'>>
}

export interface Denoiser<C = unknown> {
  readonly config: C
  /** A run with these conditioners. Runs may overlap: their calls take turns, and none sees what another keeps. */
  begin(conditioners?: readonly Conditioner[]): DenoiserRun
  /** Whether a run needs ranges first, which nothing has found for these conditioners. */
  needsCalibration(conditioners?: readonly Conditioner[]): boolean
  /** Calls of the run that `work` is given are in float, and find the ranges. */
  calibrate(conditioners: readonly Conditioner[], work: (run: DenoiserRun) => Promise<void>): Promise<void>
  /** Frees the engine's memory; a later call compiles anew. */
  release(): Promise<void>
}

export interface DenoiserOptions {
  readonly quantize?: 'int8' | 'int4' | undefined
  readonly cache?: StepCache | undefined
}

/** What is traced: shapes and types of the inputs, and the conditioners. */
interface Traced {
  readonly specs: Readonly<Record<string, Pick<NdArray, 'shape' | 'dtype'>>>
  readonly conditioners: readonly Conditioner[]
}

/** Which outputs of the network a program gives. */
type Portion = 'whole' | 'full' | 'shallow'

const keyOf = (conditioners: readonly Conditioner[]) => JSON.stringify(conditioners.map((one) => one.key))

/** A checkpoint's network at work: one program for the shapes of its inputs and a set of conditioners; with a step cache two. */
export function denoiser<N extends ClassName>(
  network: { readonly className: N; readonly config: ConfigOf<N>; readonly weights: Weights },
  trace: Trace<N>,
  options: CompileOptions,
  { quantize, cache }: DenoiserOptions = {},
): Denoiser<ConfigOf<N>> {
  if (cache) checkCache(cache)
  const known = new Map<string, Traced>()
  const ranges = new Map<string, Ranges>()
  const turn = turns()
  const weightsOf = (conditioners: readonly Conditioner[]): Weights =>
    new Map([...network.weights, ...conditioners.flatMap((one) => [...one.weights])])

  function computation({ specs, conditioners }: Traced, portion: Portion): Computation {
    const inputs = Object.fromEntries(Object.entries(specs).map(([name, { shape, dtype }]) => [name, input(name, shape, dtype)]))
    const given = conditioners.map((one) => one.trace(inputs))
    const output = trace(build(network.className, new Params(), network.config), inputs, Object.assign({}, ...given))
    const outputs = portion === 'whole' ? { output } : cutDeep(output)[portion]
    return { outputs, weights: weightsOf(conditioners) }
  }
  function quantization(conditioners: readonly Conditioner[]): Quantize | undefined {
    if (quantize !== 'int8') return quantize && { kind: quantize }
    return { kind: quantize, ranges: ranges.get(keyOf(conditioners)) ?? {} }
  }
  const programs = new Programs(
    (key: string) => {
      const [portion, at] = JSON.parse(key) as [Portion, string]
      const traced = known.get(at) as Traced
      return compile(computation(traced, portion), { ...options, quantization: quantization(traced.conditioners) })
    },
    cache ? 2 : 1,
  )
  /** The feeds of a call, and the key of what is traced for them. */
  function prepared(conditioners: readonly Conditioner[], own: Readonly<Record<string, NdArray>>, { call = 0, calls = 1 }: Call) {
    const specs = Object.fromEntries(Object.entries(own).map(([name, { shape, dtype }]) => [name, { shape, dtype }]))
    const at = JSON.stringify([specs, keyOf(conditioners)])
    known.set(at, { specs, conditioners })
    return { at, feeds: Object.assign({}, own, ...conditioners.map((one) => one.feeds(call, calls))) as typeof own }
  }

  return {
    config: network.config,
    begin(conditioners = []) {
      let steps: { readonly at: string; readonly of: CachedSteps } | undefined
      return {
        predict: (sample, t, entries, place = {}) =>
          turn(async () => {
            const { at, feeds } = prepared(conditioners, feedsOf(sample, t, entries), place)
            const run = async (portion: Portion, more: Readonly<Record<string, NdArray>> = {}) => {
              const program = await programs.get(JSON.stringify([portion, at]))
              return program.run({ ...feeds, ...more })
            }
            if (!cache) return (await run('whole')).output as NdArray<'f32'>
            if (steps?.at !== at) steps = { at, of: new CachedSteps(cache) }
            const { call = 0 } = place
            const shallow = (deep: NdArray) => run('shallow', { deep })
            return (await steps.of.step(call, () => run('full'), shallow)) as NdArray<'f32'>
          }),
      }
    },
    needsCalibration(conditioners = []) {
      if (quantize !== 'int8') return false
      const key = keyOf(conditioners)
      const found = ranges.get(key) ?? keptRanges(weightsOf(conditioners))
      if (found) ranges.set(key, found)
      return found === undefined
    },
    async calibrate(conditioners, work) {
      let calibration: Calibration | undefined
      try {
        await work({
          predict: (sample, t, entries, place = {}) =>
            turn(async () => {
              const { at, feeds } = prepared(conditioners, feedsOf(sample, t, entries), place)
              calibration ??= await Calibration.compile(computation(known.get(at) as Traced, 'whole'), options)
              return (await calibration.run(feeds)).output as NdArray<'f32'>
            }),
        })
        if (!calibration) return
        ranges.set(keyOf(conditioners), calibration.ranges)
        keepRanges(weightsOf(conditioners), calibration.ranges)
      } finally {
        await calibration?.release()
      }
    },
    release: () => turn(() => programs.release()),
  }
}

/** The entries stacked into one batch, as the network's inputs. @throws ArgumentError where entries differ in what they hold */
function feedsOf(sample: NdArray<'f32'>, t: number, entries: readonly BatchEntry[]): Record<string, NdArray> {
  const feeds: Record<string, NdArray> = { sample, timestep: NdArray.full([entries.length], t) }
  for (const name of new Set(entries.flatMap((entry) => Object.keys(entry)))) {
    const values = entries.map((entry) => entry[name])
    if (values.every((value) => value === undefined)) continue
    const missing = values.indexOf(undefined)
    if (missing >= 0)
      throw new ArgumentError(`denoiser: entry ${missing} of the batch has no ${name}, and others have: give it to all or none`)
    feeds[name] = NdArray.concat(values as readonly NdArray[])
  }
  return feeds
}
