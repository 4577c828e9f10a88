import { cpSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { fixture } from '../../../tests/fixture.ts'
import { loadConfig } from '../../checkpoints/index.ts'
import { readJson } from '../../checkpoints/json.ts'
import { finish } from '../../diffusion/index.ts'
import { decodeImage, imagesOf, toPixels } from '../../images/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { type GenerateOptions, type LoadOptions, loadStableDiffusion, type StableDiffusion } from './index.ts'

/** A picture that parity/stable_diffusion.py asked diffusers for, in its words. */
interface Case {
  readonly name: string
  readonly kind: string
  readonly checkpoint: string
  readonly options: Readonly<Record<string, unknown>>
  readonly expected: readonly string[]
  readonly scheduler?: unknown
  readonly schedulerConfig?: { readonly _class_name: string }
  readonly inputs?: Readonly<Record<string, string>>
  readonly controls?: readonly {
    readonly net: string
    readonly picture: string
    readonly scale?: number
    readonly start?: number
    readonly end?: number
    /** With `global_pool_conditions` in its config. */
    readonly pooled?: boolean
  }[]
  readonly imagePrompts?: readonly { readonly adapter: string; readonly picture: string; readonly scale: number }[]
  readonly adapters?: readonly { readonly net: string; readonly picture: string; readonly scale: number }[]
  readonly loras?: readonly (readonly [string, number])[]
  readonly inversions?: readonly string[]
  readonly tinyAutoencoder?: string
  readonly refiner?: string
  readonly pagLayers?: readonly string[]
  readonly freeU?: Readonly<Record<'b1' | 'b2' | 's1' | 's2', number>>
}

const folder = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion', import.meta.url))
const { cases } = readJson(`${folder}/cases.json`) as unknown as { cases: Case[] }
const pictures = fixture('stable-diffusion/pictures')

/** A copy of a ControlNet that pools its conditions. */
function pooled(net: string): string {
  const dir = join(temporaryFolder(), net)
  cpSync(`${folder}/${net}`, dir, { recursive: true })
  writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...loadConfig(dir), global_pool_conditions: true }))
  return dir
}

const loadOptions = ({ controls, imagePrompts, adapters, loras, inversions, tinyAutoencoder }: Case): LoadOptions => ({
  ...(imagePrompts && { ipAdapters: imagePrompts.map(({ adapter }) => `${folder}/ip-adapter/${adapter}`) }),
  ...(adapters && { adapters: adapters.map(({ net }) => `${folder}/${net}`) }),
  ...(controls && { controlnets: controls.map(({ net, pooled: on }) => (on ? pooled(net) : `${folder}/${net}`)) }),
  ...(loras && { loras: loras.map(([file, weight]) => ({ file: `${folder}/loras/${file}`, weight })) }),
  ...(inversions && { inversions: inversions.map((file) => ({ file: `${folder}/inversions/${file}` })) }),
  ...(tinyAutoencoder && { vae: `${folder}/${tinyAutoencoder}` }),
})

const read = (name: string, channels: 1 | 3 = 3) => decodeImage(`${folder}/inputs/${name}.png`, { channels })

async function generateOptions({
  name,
  options,
  scheduler,
  schedulerConfig,
  inputs = {},
  controls,
  imagePrompts,
  adapters,
  pagLayers,
  freeU,
}: Case): Promise<GenerateOptions> {
  const { switchAt: _, ...given } = options
  const { image, mask, depth } = inputs
  const shown = (all: readonly { readonly picture: string; readonly scale: number }[]) =>
    Promise.all(all.map(async ({ picture, scale }) => ({ picture: await read(picture), scale })))
  return {
    ...({ prompt: '', ...given } as GenerateOptions),
    // What is too long for the text encoder diffusers cuts off, and nothing in a prompt weighs more.
    ...(name.endsWith('-long') && { syntax: 'plain' }),
    ...(pagLayers && { pagLayers: [...pagLayers] }),
    ...(freeU && { freeu: [freeU.b1, freeU.b2, freeU.s1, freeU.s2] as const }),
    // diffusers counts its own timesteps or levels, whatever num_inference_steps is.
    ...('timesteps' in given || 'sigmas' in given ? { steps: undefined } : {}),
    ...(scheduler !== undefined && { scheduler: typeof scheduler === 'string' ? scheduler : schedulerConfig }),
    ...(image && { image: await read(image) }),
    ...(mask && { mask: await read(mask) }),
    ...(depth && { depth: await read(depth, 1) }),
    ...(imagePrompts && { imagePrompts: await shown(imagePrompts) }),
    ...(adapters && { adapters: await shown(adapters) }),
    ...(controls && {
      controls: await Promise.all(
        controls.map(async ({ net: __, pooled: ___, picture, ...rest }) => ({ picture: await read(picture), scale: 1, ...rest })),
      ),
    }),
  }
}

/** Each checkpoint is opened once, as its cases follow one another. */
const opened = new Map<string, Promise<StableDiffusion>>()
function open(checkpoint: string, options: LoadOptions): Promise<StableDiffusion> {
  const key = JSON.stringify([checkpoint, options])
  const known = opened.get(key) ?? loadStableDiffusion(`${folder}/${checkpoint}`, { threads: 1, ...options })
  opened.set(key, known)
  return known
}
afterAll(async () => {
  for (const sd of opened.values()) await (await sd).release()
})

async function made(one: Case): Promise<NdArray<'f32'>> {
  const sd = await open(one.checkpoint, loadOptions(one))
  const options = await generateOptions(one)
  if (one.refiner === undefined) return finish(sd.generate(options))
  const share = one.options.switchAt as number
  const latents = await finish(sd.generate({ ...options, denoisingEnd: share, output: 'latents' }))
  return finish((await open(one.refiner, {})).generate({ ...options, denoisingStart: share, latents }))
}

/** Levels of 255 between a picture and diffusers'. */
function levels(picture: NdArray, name: string): number {
  const expected = pictures.tensors.get(name) as NdArray
  return toPixels(picture).cast('f32').sub(expected.cast('f32')).abs().max().item()
}

test.for(cases.map((one) => [one.name, one] as const))(
  '%s is the picture of diffusers',
  { timeout: 120_000 },
  async ([, one]) => {
    const found = imagesOf(await made(one))
    expect(found.length).toBe(one.expected.length)
    expect(one.expected.map((name, i) => levels(found[i] as NdArray, name)).filter((most) => most > 1)).toEqual([])
  },
)

test('the fixture has the checkpoints that its cases name', () => {
  expect(cases.filter(({ checkpoint }) => !existsSync(`${folder}/${checkpoint}/model_index.json`))).toEqual([])
})

test.each(['keep', 'lowMemory'] as const)(
  'networks that are freed after their work (%s) draw the same, again',
  async (option) => {
    const draw = (sd: StableDiffusion) => finish(sd.generate({ prompt: 'a fox', steps: 2, num: 2, seed: 1 }))
    const [kept, freed] = await Promise.all(
      [{}, option === 'keep' ? { keep: false } : { lowMemory: true }].map((options) =>
        loadStableDiffusion(`${folder}/sd1`, { threads: 1, ...options }),
      ),
    )
    const expected = await draw(kept as StableDiffusion)
    for (let run = 0; run < 2; run++) {
      const difference = (await draw(freed as StableDiffusion)).sub(expected).abs().max().item()
      expect(difference).toBeLessThan(option === 'keep' ? 1e-9 : 1e-5)
    }
    await kept?.release()
    await freed?.release()
  },
)
