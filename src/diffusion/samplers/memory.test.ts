import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import type { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { schedulerFromConfig } from '../schedulers/index.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes that are reachable, arrays included; their memory is given back a moment after they are collected. */
async function inUse(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect()
    await setTimeout(30)
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

test.each([
  { _class_name: 'DDPMScheduler' },
  { _class_name: 'EulerAncestralDiscreteScheduler' },
  // Its own timesteps would repeat one of the thousand, at which diffusers divides by zero too.
  { _class_name: 'UniPCMultistepScheduler', use_karras_sigmas: true },
])('$_class_name holds no more after 1,000 steps than after 100', async (config) => {
  const x = new Generator(0).randn([1, 3, 32, 32])
  const run = schedulerFromConfig(config).run((sample: NdArray, t: number) => sample.mul(Math.sqrt(t / 1000)), x, {
    steps: 1000,
    seed: 0,
  })
  let early = 0
  let calls = 0
  for await (const _ of run) {
    calls++
    if (calls === 100) early = await inUse()
  }
  expect(calls).toBeGreaterThanOrEqual(999)
  // 900 samples kept would be 11 MB.
  expect((await inUse()) - early).toBeLessThan(4e6)
})
