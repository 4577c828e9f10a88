import { afterAll, expect, test } from 'vitest'
import { fixture } from '../../../tests/fixture.ts'
import { sd3Checkpoint, sd3Fixture } from '../../../tests/stable-diffusion-3.ts'
import { readJson } from '../../checkpoints/json.ts'
import { finish } from '../../diffusion/index.ts'
import { decodeImage, imagesOf, toPixels } from '../../images/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { loadPipeline, type Pipeline } from '../load.ts'

/** A picture that parity/stable_diffusion_3.py asked diffusers for, in its words. */
interface Case {
  readonly name: string
  readonly checkpoint: string
  readonly pipeline: string
  readonly options: Readonly<Record<string, unknown>>
  readonly inputs: Readonly<Record<string, string>>
  readonly expected: readonly string[]
  readonly schedulerConfig?: unknown
  readonly controls?: readonly {
    readonly net: string
    readonly picture: string
    readonly scale?: number
    readonly start?: number
    readonly end?: number
  }[]
  readonly loras?: readonly (readonly [string, number])[]
}

const { cases } = readJson(sd3Fixture('cases.json')) as unknown as { cases: Case[] }
const pictures = fixture('stable-diffusion-3/pictures')
const read = (name: string) => decodeImage(sd3Fixture(`../stable-diffusion/inputs/${name}.png`))
const folders = new Map([...new Set(cases.map((one) => one.checkpoint))].map((name) => [name, sd3Checkpoint(name)]))

/** Each checkpoint is opened once, as its cases follow one another. */
const opened = new Map<string, Promise<Pipeline>>()
function open({ checkpoint, controls, loras }: Case): Promise<Pipeline> {
  const options = {
    ...(controls && { controlnets: controls.map(({ net }) => sd3Fixture(net)) }),
    ...(loras && { loras: loras.map(([file, weight]) => ({ file: sd3Fixture(`loras/${file}`), weight })) }),
  }
  const key = JSON.stringify([checkpoint, options])
  const known = opened.get(key) ?? loadPipeline(folders.get(checkpoint) as string, { threads: 1, ...options })
  opened.set(key, known)
  return known
}
afterAll(async () => {
  for (const pipeline of opened.values()) await (await pipeline).release()
})

async function runOptions({ options, inputs, schedulerConfig, controls = [] }: Case) {
  const given = await Promise.all(Object.entries(inputs).map(async ([key, name]) => [key, await read(name)] as const))
  const all = await Promise.all(controls.map(async ({ net: _, picture, ...rest }) => ({ picture: await read(picture), ...rest })))
  return {
    ...options,
    ...Object.fromEntries(given),
    ...(all.length > 0 && { controls: all }),
    ...(schedulerConfig !== undefined && { scheduler: schedulerConfig }),
  }
}

/** Levels of 255 between a picture and diffusers'. */
const levels = (picture: NdArray, name: string): number => {
  const expected = pictures.tensors.get(name) as NdArray
  return toPixels(picture).cast('f32').sub(expected.cast('f32')).abs().max().item()
}

test.for(cases.map((one) => [one.name, one] as const))('%s is the picture of diffusers', { timeout: 60_000 }, async ([, one]) => {
  const pipeline = await open(one)
  const options = await runOptions(one)
  expect(pipeline.plan(options).className).toBe(one.pipeline)
  const result = await finish(pipeline.generate(options))
  const found = imagesOf((result as { readonly pictures: NdArray<'f32'> }).pictures)
  expect(found.length).toBe(one.expected.length)
  expect(one.expected.map((name, i) => levels(found[i] as NdArray, name)).filter((most) => !(most <= 1))).toEqual([])
})
