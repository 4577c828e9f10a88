import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { fixture, maxDifference } from '../../tests/fixture.ts'
import { decodePixels } from '../images/index.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { main } from './program.ts'

const folder = fileURLToPath(new URL('../../parity/fixtures/stable-diffusion', import.meta.url))
const pictures = fixture('stable-diffusion/pictures')
const desk = mkdtempSync(join(tmpdir(), 'langevin-generate-'))
afterAll(() => rmSync(desk, { recursive: true }))

const cat = 'a photo of a cat sitting on a wooden table, soft morning light'

async function run(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(args, { out: sink('out'), err: sink('err') }), ...written }
}
const generate = (...args: string[]) => run('generate', cat, '--threads', '1', '--steps', '5', '--no-draw', ...args)

/** Levels of 255 between a file and diffusers' picture. */
async function levels(file: string, name: string): Promise<number> {
  const expected = pictures.tensors.get(name) as NdArray
  return maxDifference(await decodePixels(file), expected)
}

test('a prompt becomes the picture of diffusers, which carries its settings', { timeout: 120_000 }, async () => {
  const out = join(desk, 'cat.png')
  const { code, out: printed, err } = await generate('--model', `${folder}/sd1`, '--seed', '5', '--num', '2', '--out', out)
  expect([code, printed]).toEqual([0, `${out}\n${join(desk, 'cat-1.png')}\n`])
  expect(err).toContain('12/12')
  expect(await levels(out, 'sd1-several.0')).toBeLessThanOrEqual(1)
  expect(await levels(join(desk, 'cat-1.png'), 'sd1-several.1')).toBeLessThanOrEqual(1)
  expect((await run('info', join(desk, 'cat-1.png'))).out).toMatch(
    new RegExp(
      `^parameters: ${cat}\\nSteps: 5, Sampler: PNDMScheduler, CFG scale: 7.5, Seed: 6, Size: 32x32, Model: sd1, Version`,
      'm',
    ),
  )
})

test('pictures, masks, maps and adapters come from files', { timeout: 120_000 }, async () => {
  const input = (name: string) => `${folder}/inputs/${name}.png`
  const out = join(desk, 'other.png')
  const size = ['--width', '32', '--height', '32']
  const made: readonly (readonly [string, ...string[]])[] = [
    ['sd1-inpaint.0', '--model', `${folder}/sd1-inpaint`, '--image', input('picture'), '--mask', input('mask'), ...size],
    [
      ...['control-scaled.0', '--model', `${folder}/sd1`, '--controlnet', `${folder}/controlnet-a`, '--control', input('edges')],
      ...['--control-scale', '0.5', '--control-start', '0.2', '--control-end', '0.7'],
    ] as [string],
    ['control.0', '--model', `${folder}/sd1`, '--controlnet', `${folder}/controlnet-a`, '--control', input('edges')],
    ['sd1-lora.0', '--model', `${folder}/sd1`, '--lora', `${folder}/loras/diffusers.safetensors:0.8`],
  ]
  for (const [name, ...flags] of made) {
    expect(await generate(...flags, '--out', out)).toMatchObject({ code: 0, out: `${out}\n` })
    expect([name, await levels(out, name)]).toEqual([name, expect.toSatisfy((most: number) => most <= 1)])
  }
})

test('a scheduler may be a file', { timeout: 120_000 }, async () => {
  const out = join(desk, 'scheduler.png')
  const file = `${folder}/sd1/scheduler/scheduler_config.json`
  expect(await generate('--model', `${folder}/sd1`, '--scheduler', file, '--out', out)).toMatchObject({ code: 0 })
  expect(await levels(out, 'sd1.0')).toBeLessThanOrEqual(1)
  expect(readFileSync(out).length).toBeGreaterThan(0)
})

test('weights of 8 and of 4 bits make pictures near that of floats', { timeout: 120_000 }, async () => {
  // The checkpoints above are too narrow: nothing in them is quantised.
  const settings = ['--model', 'stickers-t2i', '--seed', '1', '--steps', '10', '--guidance', '4', '--no-draw']
  const made = async (name: string, ...flags: string[]) => {
    const out = join(desk, `${name}.png`)
    expect(await run('generate', 'a big red apple', ...settings, ...flags, '--out', out)).toMatchObject({ code: 0 })
    return (await decodePixels(out)).cast('f32')
  }
  const float = await made('float')
  for (const quantize of ['int8', 'int4']) {
    const error = (await made(quantize, '--quantize', quantize)).sub(float).abs().mean().item()
    expect([quantize, error]).toEqual([quantize, expect.toSatisfy((levels: number) => levels > 0.1 && levels < 14)])
  }
})

test('steps may be kept', { timeout: 120_000 }, async () => {
  const out = join(desk, 'kept.png')
  const made = async (cache: string) => {
    expect(await generate('--model', `${folder}/sd1`, '--cache', cache, '--out', out)).toMatchObject({ code: 0 })
    return levels(out, 'sd1.0')
  }
  expect(await made('first-block:0')).toBeLessThanOrEqual(1)
  expect(await made('deep:3')).toBeGreaterThan(1)
})

test('several pictures may be one grid', { timeout: 120_000 }, async () => {
  const out = join(desk, 'grid.png')
  const flags = ['--model', `${folder}/sd1`, '--num', '2', '--grid', '--out', out]
  expect(await generate(...flags)).toMatchObject({ code: 0, out: `${out}\n` })
  expect((await decodePixels(out)).shape).toEqual([36, 70, 3])
  expect((await run('info', out)).out).toContain('Pictures: 2, Size: 32x32')
})

test('names of flags that diffusers has, the prompt behind a list, an ending in capitals', { timeout: 120_000 }, async () => {
  const out = join(desk, 'other.PNG')
  const lora = ['--model', `${folder}/sd1`, '--lora', `${folder}/loras/diffusers.safetensors:0.8`]
  const flags = ['--num_inference_steps', '5', '--threads', '1', '--no-draw', '--out', out]
  expect(await run('generate', ...flags, ...lora, cat)).toMatchObject({ code: 0, out: `${out}\n` })
  expect(await levels(out, 'sd1-lora.0')).toBeLessThanOrEqual(1)
  const negative = 'blurry, low quality, worst quality'
  const own = ['--model', `${folder}/sd1`, '--negative-prompt', negative, '--guidance-scale', '5.5', '--seed', '3']
  expect(await run('generate', ...flags, ...own, '--', cat)).toMatchObject({ code: 0 })
  expect(await levels(out, 'sd1-negative.0')).toBeLessThanOrEqual(1)
  expect(await run('generate', ...flags, '--model', `${folder}/sd1`, '--', '-fox')).toMatchObject({ code: 0 })
  expect((await run('info', out)).out).toMatch(/^parameters: -fox\n/m)
})

test('a prompt by itself, wherever it stands, goes before one by flag, as npm start gives it', { timeout: 120_000 }, async () => {
  const out = join(desk, 'start.png')
  const own = ['--model', `${folder}/sd1`, '--steps', '1', '--threads', '1', '--no-draw', '--out', out, '--prompt', 'a hen']
  for (const [more, prompt] of [
    [[], 'a hen'],
    [['--num', '1', 'a fox'], 'a fox'],
  ] as const) {
    expect(await run('generate', ...own, ...more)).toMatchObject({ code: 0 })
    expect((await run('info', out)).out).toContain(`parameters: ${prompt}\n`)
  }
})

test("XL's sizes and its refiner come by flags", { timeout: 120_000 }, async () => {
  const out = join(desk, 'xl.png')
  const made: readonly (readonly [string, ...string[]])[] = [
    ['xl-refined.0', '--model', `${folder}/xl`, '--refiner', `${folder}/xl-refiner`, '--switch-at', '0.6', '--steps', '10'],
  ]
  for (const [name, ...flags] of made) {
    expect(await generate(...flags, '--out', out)).toMatchObject({ code: 0 })
    expect([name, await levels(out, name)]).toEqual([name, expect.toSatisfy((most: number) => most <= 1)])
  }
  expect((await run('info', out)).out).toContain('Refiner switch at: 0.6')
  const [xl, pair] = [
    ['--model', `${folder}/xl`],
    ['--original-size', '64,48', '--crop', '4,8'],
  ]
  expect(await generate(...xl, ...pair, '--out', out)).toMatchObject({ code: 0 })
  const other = join(desk, 'xl-plain.png')
  await generate(...xl, '--out', other)
  expect(readFileSync(other)).not.toEqual(readFileSync(out))
})

test('of several pictures in-painted together each tells the seed that gives it', { timeout: 120_000 }, async () => {
  const input = (name: string) => `${folder}/inputs/${name}.png`
  const out = join(desk, 'several.png')
  const painted = ['--model', `${folder}/sd1-inpaint`, '--image', input('picture'), '--mask', input('mask')]
  const { out: line } = await generate(...painted, '--num', '2', '--seed', '7', '--json', '--out', out)
  const pictures = JSON.parse(line).pictures as Record<string, unknown>[]
  expect(pictures.map((one) => [one.Seed, one['Batch size'], one['Batch pos']])).toEqual([
    [7, 2, 0],
    [7, 2, 1],
  ])
})

test('outputs that cannot be written are found before the model is opened', async () => {
  const folderThere = join(desk, 'folder.png')
  mkdirSync(folderThere)
  const fileThere = join(desk, 'file')
  writeFileSync(fileThere, '')
  for (const [out, message] of [
    [folderThere, /--out: .*folder\.png is a folder: name a file/],
    [join(fileThere, 'a.png'), /--out: .*file is no folder/],
    [join(desk, 'nowhere', 'a.png'), /--out: no such folder/],
  ] as const) {
    const { code, err } = await generate('--model', 'nowhere', '--out', out)
    expect([code, err]).toEqual([2, expect.stringMatching(message)])
  }
  mkdirSync(join(desk, 'one-1.png'))
  const second = await generate('--model', `${folder}/sd1`, '--num', '2', '--out', join(desk, 'one.png'))
  expect([second.code, second.err]).toEqual([2, expect.stringContaining('one-1.png is a folder')])
})

test.each([
  [
    ['--model', `${folder}/sd1`, '--noise-level', '20'],
    2,
    /--noise-level: no option of this model; .* takes --prompt, --negative, --steps/,
  ],
  [['--model', `${folder}/sd1`, '--prompt2', 'a hen'], 2, /--prompt2: no option of this model/],
  [['--model', `${folder}/sd1`, '--mask-blur', '3'], 2, /maskBlur \(a mask\)/],
  [['--model', `${folder}/sd1`, '--refiner', `${folder}/xl-refiner`], 2, /does not take refiner/],
  [['--model', `${folder}/xl`, '--refiner', `${folder}/sd1`], 2, /refiner: .*sd1 is a StableDiffusionPipeline/],
  [['--model', `${folder}/xl`, '--crop', '4'], 2, /--crop: expected two integers with a comma/],
  [['--model', 'nowhere'], 1, /nowhere: no such folder or file/],
  [['--model', `${folder}/sd1`, '--scheduler', 'eulr'], 2, /no scheduler is called "eulr"; choose one of ddim/],
  [['--model', `${folder}/sd1`, '--width', '33'], 2, /width: 33 is no multiple of 2/],
  [['--model', `${folder}/sd1`, '--controlnet', 'a'], 2, /0 pictures for 1 --controlnet/],
  [['--model', `${folder}/sd1`, '--cache', 'deep:0'], 2, /interval/],
  [['--model', `${folder}/sd1`, '--cache', 'deep'], 2, /must be deep:INTERVAL or first-block:THRESHOLD/],
  [['--model', `${folder}/sd1`, '--quantize', 'int7'], 2, /int8.*int4/],
  [['--model', `${folder}/sd1`, '--strength', '2'], 2, /--strength/],
  [['--model', `${folder}/instruct`], 2, /is a StableDiffusionInstructPix2PixPipeline: give image|image: an instructed edit/],
] as const)('%j is refused', async (flags, code, message) => {
  const { code: got, err } = await generate(...flags, '--out', join(desk, 'none.png'))
  expect([got, err]).toEqual([code, expect.stringMatching(message)])
})
