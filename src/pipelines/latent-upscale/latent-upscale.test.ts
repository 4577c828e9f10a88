import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fixture, maxDifference } from '../../../tests/fixture.ts'
import { weightsOf } from '../../../tests/networks.ts'
import { loadConfig, writeSafetensors } from '../../checkpoints/index.ts'
import { readJson } from '../../checkpoints/json.ts'
import { imagesOf, toPixels, toTensor } from '../../images/index.ts'
import { unet2dCondition, unet2dConditionConfig } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { finish, loadCascade, loadPipeline, type Pipeline, type Result } from '../index.ts'

const fixtures = fileURLToPath(new URL('../../../parity/fixtures', import.meta.url))
const diffusers = fixture('latent-upscale/pictures')
interface Case {
  readonly name: string
  readonly image: string
  readonly options: Readonly<Record<string, unknown>>
}
const { cases } = readJson(join(fixtures, 'latent-upscale/cases.json')) as { cases: Case[] }
const expected = (name: string) => diffusers.tensors.get(name) as NdArray
const given = (name: string) => toTensor(expected(`given ${name}`) as NdArray<'u8'>)
const levels = (result: Result) => imagesOf((result as { pictures: NdArray<'f32'> }).pictures).map((image) => toPixels(image))

const desk = mkdtempSync(join(tmpdir(), 'langevin-latent-upscale-'))
const dir = join(desk, 'x2')
let pipeline: Pipeline
beforeAll(async () => {
  cpSync(join(fixtures, 'latent-upscale/x2'), dir, { recursive: true })
  for (const part of ['text_encoder', 'tokenizer', 'vae'])
    cpSync(join(fixtures, 'stable-diffusion/sd1', part), join(dir, part), { recursive: true })
  const p = new Params()
  unet2dCondition(p, unet2dConditionConfig(loadConfig(join(dir, 'unet'))))
  const weights = weightsOf(p, Number(diffusers.metadata.seed))
  weights.set('conv_out.weight', (weights.get('conv_out.weight') as NdArray).mul(0.1))
  writeSafetensors(join(dir, 'unet/diffusion_pytorch_model.safetensors'), weights)
  pipeline = await loadPipeline(dir, { threads: 1 })
})
afterAll(async () => {
  await pipeline.release()
  rmSync(desk, { recursive: true })
})

test.each(cases.map((one) => [one.name, one] as const))('the pictures of diffusers: %s', { timeout: 60_000 }, async (_, one) => {
  const { scheduler: name, ...rest } = one.options
  const scheduler = name === undefined ? {} : { scheduler: { _class_name: name as string, prediction_type: 'sample' } }
  const made = levels(await finish(pipeline.generate({ ...rest, ...scheduler, image: given(one.image) })))
  expect(made.length).toBe(1)
  expect(maxDifference(made[0] as NdArray, expected(one.name))).toBeLessThanOrEqual(1)
})

test('in a cascade it goes on from the latents of the model before', { timeout: 60_000 }, async () => {
  const load = { threads: 1 }
  const first = join(fixtures, 'stable-diffusion/sd1')
  const cascade = await loadCascade([
    { model: first, load },
    { model: dir, load, options: { steps: 3, guidance: 2 } },
  ])
  const options = { prompt: 'a fox', steps: 3, seed: 5, width: 24, height: 16 }
  expect(cascade.plan(options).settings['Stage 2']).toBe('x2, Steps: 3, Sampler: EulerDiscreteScheduler, CFG scale: 2')
  const made = levels(await finish(cascade.generate(options)))
  expect(maxDifference(made[0] as NdArray, expected('chain'))).toBeLessThanOrEqual(1)
  await cascade.release()
})

test('what does not fit is refused', async () => {
  expect(() => pipeline.plan({ prompt: 'a' })).toThrow('image: give the picture to enlarge')
  const odd = pipeline.generate({ prompt: 'a', image: NdArray.zeros([3, 14, 18]), steps: 1 })
  await expect(odd.next()).rejects.toThrow('image: its sides must be multiples of 4 pixels for this network, and it has 18 × 14')
  const latents = pipeline.generate({ prompt: 'a', lowResLatents: NdArray.zeros([1, 3, 8, 8]), steps: 1 })
  await expect(latents.next()).rejects.toThrow('lowResLatents: expected [1, 4, h, w], got [1, 3, 8, 8]')
})
