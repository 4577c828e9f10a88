import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { type UnclipCase, unclipCases, unclipCheckpoint, unclipInput, unclipPictures } from '../../../tests/unclip.ts'
import { readJson } from '../../checkpoints/json.ts'
import { LangevinError } from '../../core/errors.ts'
import { decodeImage, decodeMask, imagesOf, toPixels } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { finish, likeliest, loadPipeline, type Pipeline, type Result } from '../index.ts'

const scratch = mkdtempSync(join(tmpdir(), 'langevin-unclip-'))
const folders = new Map<string, string>()
const opened = new Map<string, Promise<Pipeline>>()
afterAll(async () => {
  for (const pipeline of opened.values()) await (await pipeline).release()
  rmSync(scratch, { recursive: true })
})
function folderOf(name: string): string {
  const dir = folders.get(name) ?? unclipCheckpoint(name, scratch)
  folders.set(name, dir)
  return dir
}
const needsPrior = (name: string) => name.startsWith('kandinsky') && !/combined|prior|emb2emb/.test(name)
function pipelineOf(name: string, prior?: string): Promise<Pipeline> {
  const named = needsPrior(name) ? folderOf(prior ?? 'kandinsky-prior') : undefined
  const key = `${name} ${prior}`
  const known = opened.get(key) ?? loadPipeline(folderOf(name), { threads: 1, ...(named && { prior: named }) })
  opened.set(key, known)
  return known
}
async function optionsOf({ options: { prior: _, image, mask, control, ...rest } }: UnclipCase): Promise<Record<string, unknown>> {
  return {
    ...rest,
    ...(image !== undefined && { image: await decodeImage(unclipInput(image as string)) }),
    ...(mask !== undefined && { mask: await decodeMask(unclipInput(mask as string)) }),
    ...(control !== undefined && { controls: [{ picture: await decodeImage(unclipInput(control as string)) }] }),
  }
}
function difference(result: Result, { expected }: UnclipCase): number {
  if (result.type !== 'pictures') throw new Error(`no pictures but ${result.type}`)
  const pictures = imagesOf(result.pictures).map((image) => toPixels(image))
  expect(pictures.length).toBe(expected.length)
  return Math.max(
    ...pictures.map((picture, k) => {
      const known = unclipPictures.tensors.get(expected[k] as string) as NdArray
      expect(picture.shape).toEqual(known.shape)
      return maxDifference(picture, known)
    }),
  )
}
const caseOf = (name: string) => unclipCases.find((one) => one.name === name) as UnclipCase

test.each(unclipCases.map((one) => [one.name, one] as const))(
  'the pictures of diffusers: %s',
  { timeout: 60_000 },
  async (_, one) => {
    const pipeline = await pipelineOf(one.checkpoint, one.options.prior as string | undefined)
    const options = await optionsOf(one)
    expect(pipeline.plan(options).settings).toMatchObject({ Steps: one.options.steps })
    const stages = new Map<number | undefined, number>()
    const result = await finish(pipeline.generate(options), ({ stage, done, total }) => stages.set(stage, done / total))
    expect([...stages.values()].every((share) => share === 1)).toBe(true)
    expect(difference(result, one)).toBeLessThanOrEqual(1)
  },
)

test('previews on the way, of the prior its embedding; a signal ends a run', async () => {
  const pipeline = await pipelineOf('karlo')
  const stop = new AbortController()
  const run = pipeline.generate({ prompt: 'a fox', priorSteps: 2, steps: 3, superResSteps: 2, signal: stop.signal })
  const seen: unknown[] = []
  for (let next = await run.next(); seen.length < 3 && !next.done; next = await run.next())
    seen.push([next.value.stage, (await next.value.preview()).type])
  expect(seen).toEqual([
    [0, 'latents'],
    [0, 'latents'],
    [1, 'pictures'],
  ])
  stop.abort(new Error('enough'))
  await expect(run.next()).rejects.toThrow('enough')
})

test('of several embeddings the nearest to the text is kept', () => {
  const drawn = NdArray.from([1, 0, 0, 2, 3, 0, 0, 1], [2, 2, 2])
  expect([...likeliest(drawn, NdArray.from([0, 1], [1, 2])).data]).toEqual([0, 2, 0, 1])
  expect([...likeliest(drawn, NdArray.from([1, 0], [1, 2])).data]).toEqual([1, 0, 3, 0])
})

test('with networks freed after their work the pictures are the same', { timeout: 60_000 }, async () => {
  const one = caseOf('karlo two')
  const pipeline = await loadPipeline(folderOf('karlo'), { threads: 1, lowMemory: true })
  expect(difference(await finish(pipeline.generate(one.options)), one)).toBeLessThanOrEqual(1)
  await pipeline.release()
})

test('a picture by way of its embedding: to another, towards a text, varied', { timeout: 120_000 }, async () => {
  const pipeline = await pipelineOf('karlo-variation')
  const [image, other] = [await decodeImage(unclipInput('fox')), await decodeImage(unclipInput('owl'))]
  const run = { steps: 4, superResSteps: 3, guidance: 1, seed: 2 }
  const made = async (options: Record<string, unknown>) => {
    const stages = new Set<number | undefined>()
    const result = await finish(pipeline.generate({ ...run, ...options }), ({ stage }) => stages.add(stage))
    if (result.type !== 'pictures') throw new Error('no pictures')
    return { pictures: imagesOf(result.pictures), stages: [...stages] }
  }
  const away = (a: NdArray, b: NdArray) => a.sub(b).abs().mean().item()
  const [fox, owl] = [await made({ image, vary: true }), await made({ image: other, vary: true, seed: 4 })]
  expect(fox.stages).toEqual([0, 1, 2])
  const between = await made({ image, interpolate: other, num: 3 })
  // The way begins at the one picture, each with the noise of its own, and ends at the other.
  expect(away(between.pictures[0] as NdArray, fox.pictures[0] as NdArray)).toBeLessThan(1e-4)
  expect(away(between.pictures[2] as NdArray, owl.pictures[0] as NdArray)).toBeLessThan(1e-4)
  expect(away(between.pictures[1] as NdArray, fox.pictures[0] as NdArray)).toBeGreaterThan(0.01)
  const texts = { image, fromText: 'a red fox', to: 'two frogs' }
  const none = await made({ ...texts, amount: 0 })
  expect(away(none.pictures[0] as NdArray, fox.pictures[0] as NdArray)).toBeLessThan(1e-4)
  const far = await made({ ...texts, amount: 1, num: 2 })
  expect(away(far.pictures[0] as NdArray, fox.pictures[0] as NdArray)).toBeLessThan(1e-4)
  expect(away(far.pictures[1] as NdArray, fox.pictures[0] as NdArray)).toBeGreaterThan(0.01)
  // With a share of DDPM's noise each picture is another.
  const varied = await made({ image, vary: true, eta: 0.8, num: 2 })
  expect(away(varied.pictures[0] as NdArray, varied.pictures[1] as NdArray)).toBeGreaterThan(0.01)
  for (const [options, message] of [
    [{ image, interpolate: other, to: 'a' }, /interpolate and to/],
    [{ image, fromText: 'a' }, /needs one in to/],
    [{ image, eta: 0.5 }, /eta: it renews noise/],
  ] as const)
    expect(() => pipeline.plan(options)).toThrow(message)
  await expect(finish(pipeline.generate({ ...run, image, fromText: 'a', to: 'a' }))).rejects.toThrow(
    /both texts have one embedding/,
  )
})

test('what a run cannot do is refused before it begins', async () => {
  const image = await decodeImage(unclipInput('fox'))
  const refusals: [string, Record<string, unknown>, RegExp][] = [
    ['karlo', { prompt: 'a', priorSteps: 1 }, /priorSteps/],
    ['karlo', { prompt: 'a', steps: 1 }, /steps/],
    ['karlo', { prompt: 'a', image }, /image: no option here/],
    ['karlo-variation', {}, /image/],
    ['stable', { prompt: 'a', noiseLevel: 1000 }, /noiseLevel: 1000 is none of the levels 0 … 999/],
    ['stable', { prompt: 'a', width: 30 }, /multiples of 8; got 30 × 16/],
    ['kandinsky', { prompt: 'a', mask: image, image }, /mask: the network .* is not made for in-painting/],
    ['kandinsky', { prompt: 'a', controls: [{ picture: image }] }, /control: .* takes no control image/],
    ['kandinsky', { prompt: 'a', strength: 0.5 }, /strength: .* no picture to start from/],
    ['kandinsky', { prompt: 'a', priorStrength: 0.5 }, /priorStrength: .* give image/],
    ['kandinsky-inpaint', { prompt: 'a', image }, /mask: .* needs it/],
    ['kandinsky-control', { prompt: 'a' }, /control: .* needs it/],
    ['kandinsky-image', { prompt: 'a' }, /image: .* needs it/],
  ]
  for (const [name, options, message] of refusals) {
    const pipeline = await pipelineOf(name)
    expect(() => pipeline.plan(options), `${name} ${Object.keys(options)}`).toThrow(message)
  }
  const alone = await loadPipeline(folderOf('kandinsky'))
  expect(() => alone.plan({ prompt: 'a' })).toThrow(/name the folder of a prior .*--prior/)
  await expect(loadPipeline(folderOf('kandinsky'), { prior: folderOf('karlo') })).rejects.toThrow(/prior: .* is a UnCLIPPipeline/)
})

test.each([
  ['a folder', 'karlo', 'decoder', undefined, /decoder: no such folder/],
  ['a weight', 'karlo', 'text_proj/config.json', { clip_extra_context_tokens: 3 }, /text_proj/],
  ['channels', 'karlo', 'super_res_last/config.json', { in_channels: 5 }, /super_res_last/],
  ['a size', 'karlo', 'decoder/config.json', { sample_size: null }, /sample_size/],
  ['an embedding', 'stable', 'image_normalizer/config.json', { embedding_dim: 8 }, /image_normalizer/],
  ['norms', 'kandinsky', 'movq/config.json', { norm_type: 'group' }, /movq/],
  ['a prior', 'kandinsky-combined', 'prior_prior', undefined, /prior_prior/],
])('what is missing or damaged is one error: %s', async (_, name, file, fields, message) => {
  const dir = unclipCheckpoint(name)
  const path = join(dir, file)
  if (fields) writeFileSync(path, JSON.stringify({ ...(readJson(path) as object), ...fields }))
  else rmSync(path, { recursive: true })
  const failed = await loadPipeline(dir).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(failed).toBeInstanceOf(LangevinError)
  expect((failed as Error).message).toMatch(message)
})
