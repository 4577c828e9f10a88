import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fixture, maxDifference } from '../../../tests/fixture.ts'
import { ArgumentError } from '../../core/errors.ts'
import { imagesOf, toPixels } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import type { DdpmParts } from '../ddpm/folder.ts'
import { finish, loadPipeline, type Pipeline, type RunInput } from '../index.ts'
import { folderSource } from '../open/folder.ts'
import { openNetwork } from '../open/network.ts'
import { createVeScore } from './variance-exploding.ts'

const folder = fileURLToPath(new URL('../../../parity/fixtures/score-sde', import.meta.url))
const diffusers = fixture('score-sde/pictures')
const [seed, steps] = [Number(diffusers.metadata.seed), Number(diffusers.metadata.steps)]
const reference = diffusers.tensors.get('pictures') as NdArray
let model: Pipeline
beforeAll(async () => {
  model = await loadPipeline(folder)
})
afterAll(() => model.release())

async function run(options: RunInput) {
  const shown: [number, number][] = []
  const sampling = model.generate(options)
  for (let next = await sampling.next(); ; next = await sampling.next()) {
    if (!next.done) {
      shown.push([next.value.done, next.value.total])
      continue
    }
    if (next.value.type !== 'pictures') throw new Error(next.value.type)
    return { pictures: next.value.pictures, shown }
  }
}

test('predictor and corrector give the pictures of diffusers, one level of 255 at most apart, whatever the batch', async () => {
  const { pictures, shown } = await run({ num: 3, steps, seed, batch: 2 })
  const levels = NdArray.stack(imagesOf(pictures).map((image) => toPixels(image)))
  expect(maxDifference(levels, reference)).toBeLessThanOrEqual(1)
  expect(shown.at(-1)).toEqual([2 * steps, 2 * steps])
})

test('the reverse SDE alone has half the calls, and other pictures', async () => {
  const { pictures, shown } = await run({ num: 1, steps, seed, sampler: 'sde' })
  expect(shown.at(-1)).toEqual([steps, steps])
  expect(pictures.allFinite()).toBe(true)
})

test('the ODE takes noise to the colours that were learnt, a tighter tolerance to nearly the same', async () => {
  const [rough, fine] = [
    await run({ num: 2, seed, sampler: 'ode', tolerance: 1e-2 }),
    await run({ num: 2, seed, sampler: 'ode', tolerance: 1e-4 }),
  ]
  expect(maxDifference(rough.pictures, fine.pictures)).toBeLessThan(0.1)
  expect(fine.shown.every(([done], i) => done >= (fine.shown[i - 1]?.[0] ?? 0))).toBe(true)
})

test('where the score is 0 the ODE leaves the noise as it is', async () => {
  const source = folderSource(folder)
  const unet = openNetwork(source.network('unet', ['UNet2DModel']))
  const weights = new Map(
    [...unet.weights].map(([key, { shape }]) => [
      key,
      /^conv_out|skip_conv/.test(key) ? NdArray.zeros(shape) : unet.weights.get(key),
    ]),
  )
  const silent = createVeScore({ config: unet.config, scheduler: source.scheduler('scheduler'), weights } as DdpmParts)
  const settings = { num: 2, seed, steps: 1, sampler: 'ode', tolerance: 1e-3, batch: 2 } as const
  const pictures = await finish(silent.sample(settings))
  await silent.release()
  expect(maxDifference(pictures, new Generator(seed).randn([2, 3, 8, 8]).clamp(0, 1).mul(2).sub(1))).toBeLessThan(1e-5)
})

test('the plan names the sampler; the ODE takes no steps, and the schema nothing of other models', async () => {
  expect(model.plan({}).settings).toEqual({ Sampler: 'predictor-corrector', Steps: 2000 })
  expect(() => model.plan({ sampler: 'ode', steps: 5 })).toThrow(ArgumentError)
  expect(() => model.plan({ eta: 1 })).toThrow('eta: no option here')
})
