import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { trainingOptions } from '../../training/options.ts'
import { train } from '../../training/train.ts'
import { openRecipe, prepare } from '../index.ts'
import { heartbeatProcess, heartbeatReverse, heartbeatSchema, heartbeats } from './heartbeat.ts'
import { swissRollBound, swissRollNull, swissRollPoints, swissRollSchema } from './swiss-roll.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-toy-'))
afterAll(() => rmSync(desk, { recursive: true }))

/** A recipe trained as it is, with its own flags. */
async function trained(name: string) {
  const { job, config } = await prepare(openRecipe(name))
  const steps = train(job.task, trainingOptions(config, join(desk, name)))
  for (let next = await steps.next(); ; next = await steps.next()) if (next.done) return next.value
}

test('heartbeat: K ≥ −2.45 bits and 99 of 100 samples valid, at the scale of the paper', async () => {
  const config = heartbeatSchema.parse({})
  const { flip, release } = heartbeatReverse(config, await trained('heartbeat'))
  const process = heartbeatProcess(config)
  const generator = new Generator(1)
  const data = NdArray.concat(Array.from({ length: 100 }, () => heartbeats(config)))
  const bound = await process.bound(flip, data, generator)
  expect(bound.mean().item()).toBeGreaterThan(-2.45)
  const run = process.sample(flip, 4000, config.bits, generator)
  let next = await run.next()
  while (!next.done) next = await run.next()
  const beats = new Set((heartbeats(config).toNested() as number[][]).map((row) => row.join('')))
  const samples = next.value.toNested() as number[][]
  expect(samples.filter((row) => beats.has(row.join(''))).length / 4000).toBeGreaterThanOrEqual(0.99)
  await release()
}, 900_000)

test('swiss roll: K is more than 2.5 bits above L_null', async () => {
  const config = swissRollSchema.parse({})
  const generator = new Generator(1)
  const data = swissRollPoints(config, 4000, generator)
  expect((await swissRollBound(config, await trained('swiss-roll'), data, generator)) - swissRollNull).toBeGreaterThan(2.5)
}, 900_000)
