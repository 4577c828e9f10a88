import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { maxDifference } from '../../../tests/fixture.ts'
import { ArgumentError } from '../../core/errors.ts'
import { decodeImage } from '../../images/index.ts'
import { Generator, type NdArray } from '../../runtime/index.ts'
import { chunkPrompt } from '../../text/index.ts'
import { finish, type GenerateOptions, loadPipeline, loadStableDiffusion, type StableDiffusion } from '../index.ts'
import { type TextEncoder, textEncoder } from '../parts/text-encoder.ts'

const folder = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion', import.meta.url))
const made = (model: StableDiffusion, options: Partial<GenerateOptions>) =>
  finish(model.generate({ prompt: 'a fox', steps: 4, scheduler: 'euler', ...options }))
const timeout = 120_000

describe('all of a prompt acts', () => {
  let model: StableDiffusion
  beforeAll(async () => {
    model = await loadStableDiffusion(`${folder}/sd1`, { threads: 1 })
  })
  afterAll(() => model.release())

  test('AND: one prompt twice at half its weight is that prompt, and a weight of 0 is nothing', { timeout }, async () => {
    const plain = await made(model, {})
    expect(maxDifference(await made(model, { prompt: 'a fox :0.5 AND a fox :0.5' }), plain)).toBeLessThan(1e-4)
    expect(maxDifference(await made(model, { prompt: 'a fox AND two hens :0' }), plain)).toBeLessThan(1e-4)
    expect(maxDifference(await made(model, { prompt: 'a fox AND two hens' }), plain)).toBeGreaterThan(0.02)
    // A number at the end of a single prompt is text.
    expect(
      maxDifference(await made(model, { prompt: 'a fox :0.5' }), await made(model, { prompt: 'a fox :0.5', syntax: 'plain' })),
    ).toBe(0)
  })

  test('AND: the difference of each counts with its weight', { timeout }, async () => {
    // At guidance 1 and weights 1 and 1: none + (a − none) + (b − none); b the negative prompt itself adds nothing.
    const negative = 'blurry'
    const both = await made(model, { prompt: 'a fox AND blurry :3', negative, guidance: 1 })
    expect(maxDifference(both, await made(model, { guidance: 1 }))).toBeLessThan(1e-4)
  })

  test('[a:b:n] and [a|b] are other prompts at other calls of the network', { timeout }, async () => {
    const latents = { output: 'latents' } as const
    const trace = async (prompt: string) => {
      const found: NdArray[] = []
      await finish(model.generate({ prompt, steps: 4, scheduler: 'euler', ...latents }), (step) => void found.push(step.latents))
      return found
    }
    const [cat, dog, edited] = [await trace('a cat'), await trace('a dog'), await trace('a [cat:dog:0.5]')]
    const [turned, alternate] = [await trace('a [cat:dog:2]'), await trace('a [cat|dog]')]
    const same = (a: NdArray[], b: NdArray[], i: number) => maxDifference(a[i] as NdArray, b[i] as NdArray) < 1e-6
    expect([0, 1, 2, 3].map((i) => same(edited, cat, i))).toEqual([true, true, false, false])
    expect([0, 1, 2, 3].map((i) => same(edited, dog, i))).toEqual([false, false, false, false])
    expect([0, 1, 2, 3].map((i) => same(turned, edited, i))).toEqual([true, true, true, true])
    expect([0, 1].map((i) => same(alternate, cat, i))).toEqual([true, false])
    expect(maxDifference(await made(model, { prompt: 'a [cat:dog:0]' }), await made(model, { prompt: 'a dog' }))).toBeLessThan(
      1e-6,
    )
  })

  test('a prompt that grows on its way, and one of more chunks, keep one shape', { timeout }, async () => {
    const long = Array(40).fill('a hen and').join(' ')
    const found = await made(model, { prompt: `[a fox:${long}:0.5] AND two cats`, negative: 'blurry' })
    expect(found.allFinite()).toBe(true)
  })

  test('compel weighs by the empty prompt, blends and joins', { timeout }, async () => {
    const compel = (prompt: string) => made(model, { prompt, syntax: 'compel' })
    const plain = await made(model, {})
    expect(maxDifference(await compel('a fox'), plain)).toBeLessThan(1e-4)
    expect(maxDifference(await compel('("a fox", "two hens").blend(1, 0)'), plain)).toBeLessThan(1e-4)
    expect(maxDifference(await compel('a (fox)0'), await made(model, { prompt: 'a fox' }))).toBeGreaterThan(0.01)
    const joined = await compel('("a fox", "two hens").and()')
    expect(maxDifference(joined, await made(model, { prompt: 'a fox BREAK two hens' }))).toBeLessThan(1e-4)
    const weighed = await compel('a fox++')
    expect(maxDifference(weighed, await made(model, { prompt: 'a (fox:1.21)' }))).toBeGreaterThan(1e-3)
  })

  test('<lora:name:weight> is the file beside the model, and nothing is left of it afterwards', { timeout }, async () => {
    const plain = await made(model, {})
    const named = await made(model, { prompt: 'a fox<lora:diffusers:0.8>' })
    const loaded = await loadStableDiffusion(`${folder}/sd1`, {
      threads: 1,
      loras: [{ file: `${folder}/loras/diffusers.safetensors`, weight: 0.8 }],
    })
    expect(maxDifference(named, await made(loaded, {}))).toBe(0)
    await loaded.release()
    expect(maxDifference(named, plain)).toBeGreaterThan(0.01)
    expect(maxDifference(await made(model, {}), plain)).toBe(0)
    expect(maxDifference(await made(model, { prompt: 'a fox<lora:diffusers:0>' }), plain)).toBe(0)
    // As text it says something else.
    expect(maxDifference(await made(model, { prompt: 'a fox<lora:diffusers:0.8>', syntax: 'plain' }), named)).toBeGreaterThan(
      1e-3,
    )
  })

  test('LoRAs that are not there, or lie elsewhere', { timeout }, async () => {
    await expect(made(model, { prompt: '<lora:none:1> a fox' })).rejects.toThrow(/<lora:none>: no none\.safetensors in .*loraDir/)
    for (const name of ['../loras/diffusers', '/etc/passwd', 'a\\b', 'a//b', '..'])
      await expect(made(model, { prompt: `<lora:${name}:1> a fox` })).rejects.toThrow(ArgumentError)
    const loraDir = temporaryFolder()
    mkdirSync(join(loraDir, 'more'))
    copyFileSync(`${folder}/loras/diffusers.safetensors`, join(loraDir, 'more', 'ink.safetensors'))
    const other = await loadStableDiffusion(`${folder}/sd1`, { threads: 1, loraDir })
    const found = await made(other, { prompt: 'a fox<lora:more/ink:0.8>' })
    expect(maxDifference(found, await made(model, { prompt: 'a fox<lora:diffusers:0.8>' }))).toBe(0)
    await other.release()
    await expect(made(model, { negative: '<lora:diffusers:1>' })).rejects.toThrow(/negative: a LoRA acts on all/)
    await expect(made(model, { negative: 'a AND b' })).rejects.toThrow(/negative: AND joins prompts/)
  })

  test('choices are made by the seed of each picture, which gives the same alone', { timeout }, async () => {
    const wildcards = { animal: ['fox', 'hen', 'cat', 'owl'] }
    const options = { prompt: 'a {red|green|blue} __animal__', wildcards, seed: 3 }
    const pipeline = await loadPipeline(`${folder}/sd1`, { threads: 1 })
    const { prompts = [] } = pipeline.plan({ ...options, num: 3 })
    await pipeline.release()
    expect(new Set(prompts.map(({ prompt }) => prompt)).size).toBeGreaterThan(1)
    for (const { prompt } of prompts) expect(prompt).toMatch(/^a (red|green|blue) (fox|hen|cat|owl)$/)
    const all = await made(model, { ...options, num: 3 })
    const third = await made(model, { prompt: prompts[2]?.prompt as string, seed: 5 })
    expect(maxDifference(all.slice(0, 2, 3), third)).toBe(0)
    await expect(made(model, { ...options, prompt: 'a __bird__' })).rejects.toThrow(/__bird__: no such list; lists: animal/)
    // Without lists braces are text.
    expect(maxDifference(await made(model, { prompt: '{a fox}' }), await made(model, { prompt: 'a fox' }))).toBeGreaterThan(1e-3)
  })

  test('embeddings stand for a prompt, and latents for the noise of the seed', { timeout }, async () => {
    const wanted = await made(model, { negative: 'blurry', seed: 4 })
    const noise = new Generator(4).randn([1, 4, 16, 16])
    expect(maxDifference(await made(model, { negative: 'blurry', latents: noise }), wanted)).toBe(0)
    const [promptEmbeds, negativePromptEmbeds] = (await embedded(model, ['a fox', 'blurry'])) as [NdArray, NdArray]
    const by = (options: Partial<GenerateOptions>) => made(model, { prompt: '', promptEmbeds, seed: 4, ...options })
    expect(maxDifference(await by({ negativePromptEmbeds }), wanted)).toBeLessThan(1e-5)
    expect(maxDifference(await by({ negative: 'blurry' }), wanted)).toBeLessThan(1e-5)
    await expect(by({ prompt: 'a fox' })).rejects.toThrow(/promptEmbeds: they stand for the prompt/)
    await expect(by({ promptEmbeds: promptEmbeds.reshape(promptEmbeds.shape.slice(1)) })).rejects.toThrow(
      /expected \[1, tokens, width\]/,
    )
    await expect(by({ promptEmbeds: promptEmbeds.slice(1, 0, 5) })).rejects.toThrow(/5 tokens, and the negative prompt/)
  })
})

/** What the text encoder makes of texts. */
async function embedded({ components }: StableDiffusion, texts: readonly string[]) {
  const first = components.text[0] as TextEncoder
  const encoder = textEncoder(first, { threads: 1 })
  const states: NdArray[] = []
  for (const text of texts)
    states.push((await encoder.encode(chunkPrompt(first.tokenizer, text), { skip: 0, norm: true })).states)
  await encoder.release()
  return states
}

test('a scheduler by the names that other programs have, and a config of a few options', { timeout }, async () => {
  const model = await loadStableDiffusion(`${folder}/sd1`, { threads: 1 })
  const optionsOf = (scheduler: GenerateOptions['scheduler']) => model.plan({ prompt: '', scheduler }).scheduler
  expect(optionsOf('DPM++ 2M Karras')).toMatchObject({
    className: 'DPMSolverMultistepScheduler',
    options: { use_karras_sigmas: true, beta_schedule: 'scaled_linear', algorithm_type: 'dpmsolver++' },
  })
  expect(optionsOf('Euler a').className).toBe('EulerAncestralDiscreteScheduler')
  const few = optionsOf({ _class_name: 'EulerDiscreteScheduler', use_karras_sigmas: true, tensor_format: 'pt' })
  expect(few.options).toMatchObject({ use_karras_sigmas: true, beta_schedule: 'scaled_linear', beta_start: 0.00085 })
  expect(few.warnings).toEqual([expect.stringContaining('tensor_format')])
  const together = { prompt: '', steps: 5, timesteps: [999, 500] }
  expect(() => model.plan(together)).toThrow(/steps and timesteps: give one of them/)
  expect(() => model.plan({ prompt: '', sigmas: [3, 1], scheduler: 'ddim' })).toThrow(/DDIMScheduler does not take sigmas/)
  expect(model.plan({ prompt: '', sigmas: [3, 1, 0], scheduler: 'euler' }).steps).toBe(2)
  await model.release()
})

test('a picture beside prompts that AND joins acts on each of them', { timeout }, async () => {
  const model = await loadStableDiffusion(`${folder}/sd1`, { threads: 1, ipAdapters: [`${folder}/ip-adapter/plus.safetensors`] })
  const imagePrompts = [{ picture: await decodeImage(`${folder}/inputs/picture.png`), scale: 0.8 }]
  const plain = await made(model, { imagePrompts })
  expect(maxDifference(await made(model, { prompt: 'a fox :0.5 AND a fox :0.5', imagePrompts }), plain)).toBeLessThan(1e-4)
  await model.release()
})
