import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { fixture, maxDifference } from '../../../tests/fixture.ts'
import { sd3Checkpoint, sd3Fixture } from '../../../tests/stable-diffusion-3.ts'
import { saveModel } from '../../checkpoints/index.ts'
import { LangevinError } from '../../core/errors.ts'
import { input } from '../../core/tensor.ts'
import { finish } from '../../diffusion/index.ts'
import { decodeImage, toPixels } from '../../images/index.ts'
import { autoencoderTiny, autoencoderTinyConfig } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { evaluate } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { loadPipeline, type Pipeline } from '../load.ts'

const [sd3, sd35] = [sd3Checkpoint('sd3'), sd3Checkpoint('sd35')]
const expected = fixture('stable-diffusion-3/pictures')
const cat = 'a photo of a cat sitting on a wooden table, soft morning light'
const read = (name: string) => decodeImage(sd3Fixture(`../stable-diffusion/inputs/${name}.png`))

type Options = Readonly<Record<string, unknown>>
const models: Pipeline[] = []
async function open(dir: string, options: object = {}): Promise<Pipeline> {
  const model = await loadPipeline(dir, { threads: 1, ...options })
  models.push(model)
  return model
}
afterAll(async () => {
  for (const model of models) await model.release()
})

async function made(model: Pipeline, options: Options): Promise<NdArray<'f32'>> {
  const result = await finish(model.generate({ prompt: cat, steps: 4, seed: 3, ...options }))
  return (result as { readonly pictures: NdArray<'f32'> }).pictures
}

const levels = (picture: NdArray, name: string): number =>
  toPixels(picture.reshape(picture.shape.slice(1)))
    .cast('f32')
    .sub((expected.tensors.get(name) as NdArray).cast('f32'))
    .abs()
    .max()
    .item()

test('every step is told with a preview, and the last one is the picture', async () => {
  const model = await open(sd35)
  const run = model.generate({ prompt: cat, steps: 4, seed: 3 })
  const seen: [number, number, number][] = []
  let preview: NdArray | undefined
  let next = await run.next()
  for (; !next.done; next = await run.next()) {
    const { picture, done, total } = next.value
    seen.push([picture, done, total])
    if (done === total) preview = ((await next.value.preview()) as { pictures: NdArray }).pictures
  }
  expect(seen).toEqual([1, 2, 3, 4].map((done) => [0, done, 4]))
  const { pictures } = next.value as { pictures: NdArray }
  expect(maxDifference(preview as NdArray, pictures)).toBeLessThan(1e-4)
})

test('a signal stops a run between two calls', async () => {
  const model = await open(sd35)
  const controller = new AbortController()
  const run = model.generate({ prompt: cat, steps: 10, signal: controller.signal })
  await run.next()
  controller.abort(new Error('enough'))
  await expect(finish(run)).rejects.toThrow('enough')
})

test.each([{ keep: false }, { lowMemory: true }])(
  'networks freed after their work (%o) make the same picture',
  async (options) => {
    const model = await open(sd3, options)
    for (let i = 0; i < 2; i++) expect(levels(await made(model, {}), 'sd3 plain 0')).toBeLessThanOrEqual(1)
  },
)

test('the latents are what the decoder makes the picture of', async () => {
  const model = await open(sd35)
  const result = await finish(model.generate({ prompt: cat, steps: 2, output: 'latents' }))
  expect(result).toMatchObject({ type: 'latents', latents: { shape: [1, 16, 12, 12] } })
})

test("the plan is in the words of a picture's settings", async () => {
  const model = await open(sd35)
  expect(model.plan({ prompt: cat, skipLayers: [1], prompt3: 'frogs' })).toEqual({
    className: 'StableDiffusion3Pipeline',
    together: false,
    settings: expect.objectContaining({
      ...{ Steps: 28, Sampler: 'FlowMatchEulerDiscreteScheduler', 'CFG scale': 7 },
      ...{ 'Third prompt': 'frogs', 'Skipped layers': '1', 'Skip-layer scale': 2.8, Shift: undefined },
    }),
  })
  const given = { prompt: cat, image: await read('picture') }
  expect(model.plan(given)).toMatchObject({ className: 'StableDiffusion3Img2ImgPipeline', settings: { Steps: 50 } })
})

test('prompts that are cut are told', async () => {
  const told = vi.spyOn(console, 'warn').mockImplementation(() => {})
  const model = await open(sd3)
  await made(model, { steps: 1, prompt: 'a fox', guidance: 1 })
  expect(told).not.toHaveBeenCalled()
  await made(model, { steps: 1, prompt: 'a fox', prompt2: 'a red fox '.repeat(40), prompt3: cat, maxLength: 8, guidance: 1 })
  const lines = told.mock.calls.map(([line]) => String(line))
  expect(lines).toHaveLength(2)
  expect(lines[0]).toMatch(/^the prompt is too long for text_encoder_2, which reads 77 tokens: its last \d+ are cut off$/)
  expect(lines[1]).toMatch(/^the prompt is too long for text_encoder_3, which reads 8 tokens: its last \d+ .* up to 512$/)
  told.mockRestore()
})

test('an autoencoder of another file takes part: a tiny one of 16 channels, and none of 4', async () => {
  const dir = join(temporaryFolder(), 'tiny')
  const fields = { latent_channels: 16, encoder_block_out_channels: [8, 8], decoder_block_out_channels: [8, 8], shift_factor: 0 }
  const config = { ...fields, num_encoder_blocks: [1, 1], num_decoder_blocks: [1, 1], scaling_factor: 1 }
  const p = new Params()
  const tiny = autoencoderTiny(p, autoencoderTinyConfig(config))
  tiny.encode(input('x', [1, 3, 4, 4]))
  const weights = p.initialise(new Generator(0))
  saveModel(dir, { _class_name: 'AutoencoderTiny', ...config }, weights)
  const model = await open(sd35, { vae: dir })
  const run = { prompt: cat, steps: 2, seed: 1 }
  const z = ((await finish(model.generate({ ...run, output: 'latents' }))) as unknown as { latents: NdArray }).latents
  const symbol = input('z', [1, 16, 12, 12])
  const expected = await evaluate({ outputs: { y: tiny.decode(symbol) }, weights }, { z })
  expect(maxDifference(await made(model, run), expected.y as NdArray)).toBeLessThan(1e-4)
  const four = open(sd35, { vae: sd3Fixture('../stable-diffusion/tiny-vae') })
  await expect(four).rejects.toThrow("the autoencoder's latents have 4 channels")
})

test('a folder of a ControlNet pipeline has its own', async () => {
  const own = sd3Checkpoint('sd3', 'controlnet')
  const index = JSON.parse(readFileSync(join(own, 'model_index.json'), 'utf8'))
  const controlled = {
    ...index,
    _class_name: 'StableDiffusion3ControlNetPipeline',
    controlnet: ['diffusers', 'SD3ControlNetModel'],
  }
  writeFileSync(join(own, 'model_index.json'), JSON.stringify(controlled))
  const model = await open(own)
  expect(levels(await made(model, { controls: [{ picture: await read('edges') }] }), 'control 0')).toBeLessThanOrEqual(1)
  await expect(made(model, {})).rejects.toThrow('controls: 0 pictures for 1 ControlNets')
})

test('what encoders that are left out would give is zeros', async () => {
  const without = (names: readonly string[]) => {
    const dir = join(temporaryFolder(), 'model')
    cpSync(sd3, dir, { recursive: true })
    const index = JSON.parse(readFileSync(join(dir, 'model_index.json'), 'utf8'))
    for (const name of names) {
      for (const part of [name, name.replace('text_encoder', 'tokenizer')]) {
        index[part] = [null, null]
        rmSync(join(dir, part), { recursive: true })
      }
    }
    writeFileSync(join(dir, 'model_index.json'), JSON.stringify(index))
    return dir
  }
  const all = await made(await open(sd3), {})
  for (const names of [
    ['text_encoder'],
    ['text_encoder_2'],
    ['text_encoder', 'text_encoder_2'],
    ['text_encoder_2', 'text_encoder_3'],
  ]) {
    const picture = await made(await open(without(names)), {})
    expect(picture.allFinite()).toBe(true)
    expect(maxDifference(picture, all)).toBeGreaterThan(0.05)
  }
  await expect(open(without(['text_encoder', 'text_encoder_2', 'text_encoder_3']))).rejects.toThrow(
    'has none of its text encoders',
  )
})

test.each<[string, (read: (name: string) => Promise<NdArray>) => Promise<Options> | Options]>([
  ['height: 22 is no multiple of 4', () => ({ height: 22 })],
  ['skipLayers: the transformer has blocks 0 to 2; got 7', () => ({ skipLayers: [1, 7] })],
  ['has no use for skipLayers (guidance above 1)', () => ({ skipLayers: [1], guidance: 1 })],
  ['has no use for strength (a picture to start from), skipScale (skipLayers)', () => ({ strength: 0.5, skipScale: 1 })],
  ['has no use for mu (a scheduler with use_dynamic_shifting)', () => ({ mu: 1 })],
  ['maxLength', () => ({ maxLength: 513 })],
  ['clipSkip: 3 of the 3 layers', () => ({ clipSkip: 3 })],
  ['EulerDiscreteScheduler samples no flow', () => ({ scheduler: { _class_name: 'EulerDiscreteScheduler' } })],
  ['was opened without a ControlNet', async (read) => ({ controls: [{ picture: await read('edges') }] })],
  ['leaves no step', async (read) => ({ image: await read('picture'), strength: 0 })],
  ['the table has 14×14', () => ({ width: 64 })],
  ['a picture and its mask are needed', async (read) => ({ mask: await read('mask') })],
  ['eta: no option here', () => ({ eta: 1 })],
])('%s', async (message, options) => {
  const model = await open(sd35)
  await expect(async () => made(model, await options(read))).rejects.toThrow(message)
})

test.each<[string, (dir: string) => void]>([
  ['transformer: no such folder', (dir) => rmSync(join(dir, 'transformer'), { recursive: true })],
  ['text_encoder_3', (dir) => truncateSync(join(dir, 'text_encoder_3/model.safetensors'), 5000)],
  ['tokenizer_3', (dir) => rmSync(join(dir, 'tokenizer_3/spiece.model'))],
  ['pos_embed.proj.weight: expected [12, 8, 2, 2]', (dir) => json(join(dir, 'transformer/config.json'), { in_channels: 8 })],
  [
    "in_channels: is 16; the autoencoder's latents have 4 channels",
    (dir) => replaced(dir, 'vae', sd3Fixture('../stable-diffusion/sd1/vae')),
  ],
  [
    "pooled_projection_dim: is 24; the text encoders' projection_dim is 16 together",
    (dir) => replaced(dir, 'text_encoder_2', join(dir, 'text_encoder')),
  ],
  [
    'caption_projection_dim: is 16; the blocks are 12 wide',
    (dir) => json(join(dir, 'transformer/config.json'), { caption_projection_dim: 16 }),
  ],
  [
    'text_encoder: is CLIPTextModel; expected CLIPTextModelWithProjection',
    (dir) => json(join(dir, 'model_index.json'), { text_encoder: ['transformers', 'CLIPTextModel'] }),
  ],
  ['shift is "three"; expected a number', (dir) => json(join(dir, 'scheduler/scheduler_config.json'), { shift: 'three' })],
])('a damaged folder is one clear error: %s', async (message, change) => {
  const dir = join(temporaryFolder(), 'model')
  cpSync(sd3, dir, { recursive: true })
  change(dir)
  const error = await loadPipeline(dir).catch((cause: unknown) => cause)
  expect(error).toBeInstanceOf(LangevinError)
  expect((error as Error).message).toContain(message)
})

test('a ControlNet of another transformer is refused', async () => {
  const dir = join(temporaryFolder(), 'controlnet')
  cpSync(sd3Fixture('controlnet'), dir, { recursive: true })
  await expect(open(sd3Checkpoint('sd3-inpaint'), { controlnets: [dir] })).rejects.toThrow(
    'num_layers: is 2; the transformer has 1 blocks',
  )
})

function json(file: string, changes: object) {
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...changes }))
}

function replaced(dir: string, part: string, by: string) {
  rmSync(join(dir, part), { recursive: true })
  cpSync(by, join(dir, part), { recursive: true })
}
