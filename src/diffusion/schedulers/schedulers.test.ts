import { expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../../tests/fixture.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { schedulerFromConfig } from './index.ts'
import type { Model, RunOptions } from './scheduler.ts'

const diffusers = fixture('schedulers')
const seed = Number(diffusers.metadata.seed)
interface Case {
  readonly class: string
  readonly config: Readonly<Record<string, unknown>>
  readonly run: RunOptions
  readonly channels: 1 | 2
  readonly timesteps: readonly number[]
}
const cases: Case[] = JSON.parse(diffusers.metadata.cases as string)
const named = cases.map((c, i) => [`${c.class} ${JSON.stringify(c.config)} ${JSON.stringify(c.run)}`, c, i] as const)

/** The network of parity/schedulers.py: smooth, neither odd nor even, different at every timestep. */
const model = (channels: 1 | 2) => (x: NdArray, t: number) => {
  const square = x.mul(x)
  const out = x.mul(0.7 + 0.2 * Math.cos(0.01 * t)).add(square.mul(0.1).div(square.add(1)))
  return channels === 1 ? out : NdArray.concat([out, x.mul(0.5).tanh()], 1)
}

test.each(named)('%s', async (_, { class: name, config, run, channels, timesteps }, index) => {
  const scheduler = schedulerFromConfig({ _class_name: name, ...config })
  const options = { ...run, seed }
  const asked: number[] = []
  const noise = tensorOf(diffusers, 'noise').mul(scheduler.initialSigma(run))
  const network: Model = (x, t) => {
    asked.push(t)
    return model(channels)(x, t)
  }
  const sampling = scheduler.run(network, noise, options)
  let step = await sampling.next()
  while (!step.done) step = await sampling.next()
  const expected = tensorOf(diffusers, `case.${index}`)
  const scale = Math.max(1, expected.abs().max().item())
  expect(asked.length).toBe(timesteps.length)
  for (const [i, t] of timesteps.entries()) expect(Math.abs((asked[i] as number) - t)).toBeLessThanOrEqual(1e-3)
  expect(maxDifference(step.value, expected) / scale).toBeLessThanOrEqual(1e-4)
})
