import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { fixture } from '../../tests/fixture.ts'
import { sd3Checkpoint, sd3Fixture } from '../../tests/stable-diffusion-3.ts'
import { readJson } from '../checkpoints/json.ts'
import { decodePixels } from '../images/index.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { main } from './program.ts'

const { tensors } = fixture('stable-diffusion-3/pictures')
const { cases } = readJson(sd3Fixture('cases.json')) as unknown as {
  cases: { readonly name: string; readonly schedulerConfig?: object }[]
}
const folders: Readonly<Record<string, string>> = { sd3: sd3Checkpoint('sd3'), sd35: sd3Checkpoint('sd35') }
const desk = mkdtempSync(join(tmpdir(), 'langevin-generate-'))
afterAll(() => rmSync(desk, { recursive: true }))

const cat = 'a photo of a cat sitting on a wooden table, soft morning light'
const fox = "the quick brown fox doesn't jump; it's sleeping under the apple tree"
const bad = 'blurry, low quality'
const input = (name: string) => sd3Fixture(`../stable-diffusion/inputs/${name}.png`)

async function run(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(args, { out: sink('out'), err: sink('err') }), ...written }
}
const generate = (checkpoint: string, ...args: string[]) =>
  run(
    'generate',
    cat,
    '--model',
    folders[checkpoint] as string,
    '--threads',
    '1',
    '--no-draw',
    '--steps',
    '4',
    '--seed',
    '3',
    ...args,
  )

/** Levels of 255 between a file and diffusers' picture. */
async function levels(file: string, name: string): Promise<number> {
  return (await decodePixels(file))
    .cast('f32')
    .sub((tensors.get(name) as NdArray).cast('f32'))
    .abs()
    .max()
    .item()
}

test.for<[string, string, ...string[]]>([
  [
    ...['sd3 every prompt 0', 'sd3', '--prompt2', fox, '--prompt3', 'two frogs'],
    ...['--negative', bad, '--negative2', 'dark', '--negative3', 'noise'],
  ] as unknown as [string, string],
  ['clip skip 0', 'sd3', '--clip-skip', '1', '--negative-prompt', bad],
  [
    ...['skip more 0', 'sd35', '--skip-layers', '0', '--skip-layers', '2', '--steps', '6'],
    ...['--skip-scale', '1.5', '--skip-start', '0.1', '--skip-stop', '0.7'],
  ] as unknown as [string, string],
  ['image whole 0', 'sd35', '--image', input('small'), '--strength', '1'],
  ['paint crop 0', 'sd35', '--image', input('picture'), '--mask', input('mask'), '--mask-padding', '4', '--strength', '0.8'],
  [
    ...['control 8b 0', 'sd35', '--controlnet', sd3Fixture('controlnet-8b'), '--control', input('edges')],
    ...['--control-scale', '0.8', '--negative', bad],
  ] as unknown as [string, string],
  [
    ...['control paint 0', 'sd3', '--controlnet', sd3Fixture('controlnet-inpaint'), '--control', input('picture')],
    ...['--mask', input('mask'), '--control-scale', '0.9'],
  ] as unknown as [string, string],
  ['lora 0', 'sd3', '--lora', `${sd3Fixture('loras/diffusers.safetensors')}:0.8`],
])('langevin generate makes the picture of diffusers: %s', { timeout: 60_000 }, async ([name, checkpoint, ...flags]) => {
  const out = join(desk, 'made.png')
  expect(await generate(checkpoint, ...flags, '--out', out)).toMatchObject({ code: 0, out: `${out}\n` })
  expect(await levels(out, name)).toBeLessThanOrEqual(1)
})

test('several pictures, a short text and a scheduler of a file; the settings are in the pictures', async () => {
  const config = join(desk, 'scheduler.json')
  writeFileSync(config, JSON.stringify(cases.find(({ name }) => name === 'dynamic')?.schedulerConfig))
  const out = join(desk, 'several.png')
  expect((await generate('sd3', '--width', '32', '--scheduler', config, '--out', out)).code).toBe(0)
  expect(await levels(out, 'dynamic 0')).toBeLessThanOrEqual(1)
  expect((await generate('sd35', '--num', '2', '--negative', bad, '--out', out)).code).toBe(0)
  expect(await levels(join(desk, 'several-1.png'), 'several 1')).toBeLessThanOrEqual(1)
  expect((await run('info', join(desk, 'several-1.png'))).out).toContain(
    'Steps: 4, Sampler: FlowMatchEulerDiscreteScheduler, CFG scale: 7, Seed: 4, Size: 24x24, Model: sd35',
  )
})

test('flags of other families are refused with those that the model takes', async () => {
  const { code, err } = await generate('sd35', '--eta', '0.5', '--out', join(desk, 'none.png'))
  expect(code).not.toBe(0)
  expect(err).toMatch(/--eta: no option of this model; a StableDiffusion3Pipeline .* takes .*--max-length.*--skip-layers/)
})
