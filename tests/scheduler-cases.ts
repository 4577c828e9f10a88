import { schedulerFromConfig } from '../src/diffusion/schedulers/index.ts'
import type { Model, RunOptions } from '../src/diffusion/schedulers/scheduler.ts'
import { NdArray } from '../src/runtime/ndarray.ts'
import { fixture, maxDifference, tensorOf } from './fixture.ts'

/** One loop of parity/schedulers.py. */
export interface SchedulerCase {
  readonly class: string
  readonly config: Readonly<Record<string, unknown>>
  readonly run: RunOptions & { readonly jumps?: readonly [length: number, times: number] }
  readonly channels: 1 | 2
  readonly timesteps: readonly number[]
}

export const diffusers = fixture('schedulers')
export const cases: readonly SchedulerCase[] = JSON.parse(diffusers.metadata.cases as string)

/** The network of parity/schedulers.py: smooth, neither odd nor even, different at every timestep. */
const model =
  (channels: 1 | 2): Model =>
  (x, t) => {
    const square = x.mul(x)
    const out = x.mul(0.7 + 0.2 * Math.cos(0.01 * t)).add(square.mul(0.1).div(square.add(1)))
    return channels === 1 ? out : NdArray.concat([out, x.mul(0.5).tanh()], 1)
  }

const score: Model = async (x, sigma, at) => (await model(1)(x, sigma, at)).sub(x).div(1 + sigma * sigma)

/** The network of a class's loops: that of ScoreSdeVeScheduler gives a score. */
export const network = (name: string, channels: 1 | 2): Model => (name === 'ScoreSdeVeScheduler' ? score : model(channels))

/** Runs a case; the error is max |Δ| of the whole final tensor over max(1, max |x|). */
export async function runCase(index: number): Promise<{ readonly error: number; readonly timesteps: readonly number[] }> {
  const { class: name, config, run: given, channels } = cases[index] as SchedulerCase
  const [data, mask] = [tensorOf(diffusers, 'known'), tensorOf(diffusers, 'mask')]
  const { jumps, ...plain } = given
  const run = jumps ? { ...plain, known: { data, mask, jumpLength: jumps[0], jumpTimes: jumps[1] } } : plain
  const scheduler = schedulerFromConfig({ _class_name: name, ...config })
  const timesteps: number[] = []
  const counted: Model = (x, t, at) => {
    timesteps.push(t)
    return network(name, channels)(x, t, at)
  }
  const noise = tensorOf(diffusers, 'noise').mul(scheduler.initialSigma(run))
  const sampling = scheduler.run(counted, noise, { ...run, seed: Number(diffusers.metadata.seed) })
  let step = await sampling.next()
  while (!step.done) step = await sampling.next()
  const expected = tensorOf(diffusers, `case.${index}`)
  return { error: maxDifference(step.value, expected) / Math.max(1, expected.abs().max().item()), timesteps }
}
