import { type Model, type NdArray, type RunOptions, schedulerFromConfig } from '../src/diffusion/index.ts'
import { fixture, maxDifference, tensorOf } from './fixture.ts'
import { network } from './scheduler-cases.ts'

/** parity/scheduler_options.py: every class with every option. */
export const options = fixture('scheduler_options')

type Run = RunOptions & { readonly jumps?: readonly [length: number, times: number] }
interface Table {
  readonly rows: Readonly<Record<string, readonly (readonly [Record<string, unknown>, number, Expected])[]>>
  readonly runs: readonly Run[]
  readonly spans: readonly (readonly [start: number, count: number])[]
}
/** The number of a result, or why diffusers has none. */
type Expected = number | 'refused' | 'not finite'
const { rows, runs, spans } = JSON.parse(options.metadata.cases as string) as Table

export interface OptionCase {
  readonly class: string
  readonly config: Readonly<Record<string, unknown>>
  readonly run: Run
  readonly expected: Expected
}
export const optionCases: readonly OptionCase[] = Object.entries(rows).flatMap(([name, own]) =>
  own.map(([config, run, expected]) => ({ class: name, config, run: runs[run] as Run, expected })),
)

const results = tensorOf(options, 'results')
const times = tensorOf(options, 'times').data

export interface Outcome {
  readonly refused?: Error
  /** max |Δ| over max(1, max |x|), where diffusers has a sample. */
  readonly error?: number
  /** The largest difference of a timestep; infinite where their numbers differ. */
  readonly late?: number
  readonly finite?: boolean
}

export async function runOptionCase({ class: name, config, run: given, expected }: OptionCase): Promise<Outcome> {
  const { jumps, ...plain } = given
  const [data, mask] = [tensorOf(options, 'known'), tensorOf(options, 'mask')]
  const called: number[] = []
  let sample: NdArray
  try {
    const scheduler = schedulerFromConfig({ _class_name: name, ...config })
    const run: RunOptions = {
      ...plain,
      ...(jumps ? { known: { data, mask, jumpLength: jumps[0], jumpTimes: jumps[1] } } : {}),
      seed: Number(options.metadata.seed),
    }
    const learned = scheduler.options.variance_type === 'learned' || scheduler.options.variance_type === 'learned_range'
    const inner = network(name, learned ? 2 : 1)
    const model: Model = (x, t, at) => {
      called.push(t)
      return inner(x, t, at)
    }
    const sampling = scheduler.run(model, tensorOf(options, 'noise').mul(scheduler.initialSigma(run)), run)
    let step = await sampling.next()
    while (!step.done) step = await sampling.next()
    sample = step.value
  } catch (error) {
    return { refused: error as Error }
  }
  if (typeof expected === 'string') return { finite: sample.allFinite() }
  const right = results.row(expected).reshape(sample.shape)
  const [start, count] = spans[expected] as readonly [number, number]
  const late = count === called.length ? Math.max(...called.map((t, i) => Math.abs(t - (times[start + i] as number)))) : Infinity
  return { error: maxDifference(sample, right) / Math.max(1, right.abs().max().item()), late, finite: sample.allFinite() }
}
