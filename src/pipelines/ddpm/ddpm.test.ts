import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fixture, maxDifference } from '../../../tests/fixture.ts'
import { ConfigError, FolderError, loadConfig, openWeights, saveModel } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import { imagesOf, toPixels } from '../../images/index.ts'
import { ModelConfigError } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type Ddpm, finish, loadDdpm, type SampleOptions, samplerNames } from '../index.ts'

const folder = fileURLToPath(new URL('../../../parity/fixtures/ddpm', import.meta.url))
const diffusers = fixture('ddpm/pictures')
const [seed, steps] = [Number(diffusers.metadata.seed), Number(diffusers.metadata.steps)]
const desk = mkdtempSync(join(tmpdir(), 'langevin-ddpm-'))
let ddpm: Ddpm
beforeAll(async () => {
  ddpm = await loadDdpm(folder)
})
afterAll(async () => {
  await ddpm.release()
  rmSync(desk, { recursive: true })
})

/** The pictures' levels, 0–255, [num, H, W, C]. */
const levels = (pictures: NdArray<'f32'>) => NdArray.stack(imagesOf(pictures).map((image) => toPixels(image)))
/** A copy of the folder, to break. */
function copy(name: string): string {
  const dir = join(desk, name)
  cpSync(folder, dir, { recursive: true })
  return dir
}

const cases: [string, SampleOptions][] = [
  ['ddpm', {}],
  ['ddim.0', { scheduler: 'ddim' }],
  ['ddim.1', { scheduler: 'ddim', eta: 1 }],
]

test.each(cases)('%s gives the pictures of diffusers, one level of 255 at most apart', async (name, options) => {
  const reference = diffusers.tensors.get(name) as NdArray
  const seen: number[] = []
  const sampling = ddpm.sample({ num: reference.shape[0] as number, steps, seed, ...options })
  const pictures = await finish(sampling, ({ i, done, total, denoised }) => {
    expect([done, total, denoised.shape]).toEqual([i + 1, steps, [3, 3, 16, 16]])
    seen.push(i)
  })
  expect(seen).toEqual(Array.from({ length: steps }, (_, i) => i))
  expect(maxDifference(levels(pictures), reference)).toBeLessThanOrEqual(1)
})

test('a DDIMPipeline samples with DDIM, and older attention keys are read', async () => {
  const dir = copy('ddim')
  writeFileSync(
    join(dir, 'model_index.json'),
    JSON.stringify({
      _class_name: 'DDIMPipeline',
      unet: ['diffusers', 'UNet2DModel'],
      scheduler: ['diffusers', 'DDPMScheduler'],
    }),
  )
  const older = { to_q: 'query', to_k: 'key', to_v: 'value', 'to_out.0': 'proj_attn' } as Record<string, string>
  const weights = [...openWeights(join(folder, 'unet'))].map(
    ([key, tensor]) => [key.replace(/to_[qkv]|to_out\.0/, (name) => older[name] as string), tensor] as const,
  )
  expect(weights.filter(([key]) => key.includes('query'))).not.toEqual([])
  saveModel(join(dir, 'unet'), loadConfig(join(folder, 'unet')), weights)
  const model = await loadDdpm(dir)
  expect(model.scheduler._class_name).toBe('DDIMScheduler')
  const reference = diffusers.tensors.get('ddim.0') as NdArray
  const pictures = await finish(model.sample({ num: 3, steps, seed }))
  await model.release()
  expect(maxDifference(levels(pictures), reference)).toBeLessThanOrEqual(1)
})

test('the same seed gives the same pictures, in whatever batches they go through the network', async () => {
  const whole = await finish(ddpm.sample({ num: 5, steps: 4, seed: 7, batch: 5 }))
  const again = await finish(ddpm.sample({ num: 5, steps: 4, seed: 7, batch: 5 }))
  const apart = await finish(ddpm.sample({ num: 5, steps: 4, seed: 7, batch: 2 }))
  const other = await finish(ddpm.sample({ num: 5, steps: 4, seed: 8, batch: 5 }))
  expect(maxDifference(whole, again)).toBe(0)
  expect(maxDifference(whole, apart)).toBeLessThan(1e-4)
  expect(maxDifference(whole, other)).toBeGreaterThan(0.1)
})

test.each(samplerNames)('%s samples the same noise schedule', async (scheduler) => {
  const run = (seed: number) => finish(ddpm.sample({ scheduler, steps: 6, seed }))
  const pictures = await run(1)
  expect(pictures.shape).toEqual([1, 3, 16, 16])
  expect(pictures.allFinite()).toBe(true)
  expect(maxDifference(pictures, await run(1))).toBe(0)
  expect(maxDifference(pictures, await run(2))).toBeGreaterThan(0.1)
})

test('ancestral sampling renews noise', async () => {
  const [ancestral, euler] = [
    await finish(ddpm.sample({ scheduler: 'euler-ancestral', steps: 6 })),
    await finish(ddpm.sample({ scheduler: 'euler', steps: 6 })),
  ]
  expect(maxDifference(ancestral, euler)).toBeGreaterThan(0.1)
})

test('sampling stops where it is told to', async () => {
  const controller = new AbortController()
  const sampling = ddpm.sample({ steps: 10, signal: controller.signal })
  await sampling.next()
  controller.abort(new Error('enough'))
  await expect(sampling.next()).rejects.toThrow('enough')
})

test('wrong options are named', async () => {
  const wrong = (options: object) => ddpm.sample(options as SampleOptions).next()
  await expect(wrong({ num: 0 })).rejects.toThrow(ArgumentError)
  await expect(wrong({ num: 0 })).rejects.toThrow('num')
  await expect(wrong({ nun: 1 })).rejects.toThrow('nun')
  await expect(wrong({ steps: 1001 })).rejects.toThrow('1000')
  await expect(wrong({ eta: 0.5 })).rejects.toThrow('Choose the scheduler ddim')
})

test('a folder that is no such pipeline says which file is at fault', async () => {
  const index = (dir: string, content: object) => writeFileSync(join(dir, 'model_index.json'), JSON.stringify(content))
  await expect(loadDdpm(join(desk, 'absent'))).rejects.toThrow(FolderError)

  const other = copy('other')
  index(other, { _class_name: 'StableDiffusionPipeline', unet: ['diffusers', 'UNet2DConditionModel'] })
  await expect(loadDdpm(other)).rejects.toThrow(ConfigError)
  await expect(loadDdpm(other)).rejects.toThrow(/model_index\.json: _class_name: is StableDiffusionPipeline/)
  index(other, { _class_name: 'DDPMPipeline', unet: ['diffusers', 'UNet2DModel'] })
  await expect(loadDdpm(other)).rejects.toThrow(/model_index\.json: scheduler: lacks/)

  const bare = copy('bare')
  rmSync(join(bare, 'unet', 'diffusion_pytorch_model.safetensors'))
  await expect(loadDdpm(bare)).rejects.toThrow(FolderError)
  writeFileSync(join(bare, 'unet', 'config.json'), JSON.stringify({ ...loadConfig(join(folder, 'unet')), sample_size: null }))
  await expect(loadDdpm(bare)).rejects.toThrow(/config\.json: sample_size/)
  writeFileSync(join(bare, 'unet', 'config.json'), JSON.stringify({ down_block_types: ['Down'] }))
  await expect(loadDdpm(bare)).rejects.toThrow(ModelConfigError)
  await expect(loadDdpm(bare)).rejects.toThrow(join('unet', 'config.json'))
})
