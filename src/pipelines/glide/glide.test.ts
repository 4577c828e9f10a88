import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../../tests/fixture.ts'
import { glideCheckpoint, glideParams, glideSeed } from '../../../tests/glide.ts'
import { type Described, disagreements, keysOf } from '../../../tests/networks.ts'
import { LangevinError } from '../../core/errors.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { spacedTimesteps } from '../../diffusion/index.ts'
import { decodeImage, decodeMask, imagesOf, toPixels } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { ClipTokenizer, GlideTokenizer, mergesIn } from '../../text/index.ts'
import { finish, loadPipeline } from '../index.ts'
import { glideSource } from '../open/glide.ts'
import { openNetwork } from '../open/network.ts'
import { noisedClip } from './clip.ts'

const fixtures = fileURLToPath(new URL('../../../parity/fixtures/glide', import.meta.url))
const networks = fixture('glide/networks')
const pictures = fixture('glide/pictures')
const keys = JSON.parse(networks.metadata.keys as string) as Record<string, Omit<Described, 'config'>>
interface Case extends Readonly<Record<string, unknown>> {
  readonly name: string
  readonly mask?: boolean
}
const cases = JSON.parse(pictures.metadata.cases as string) as Case[]

const dir = glideCheckpoint()
const opening = loadPipeline(dir, { threads: 1 })
afterAll(async () => {
  await (await opening).release()
  rmSync(dir, { recursive: true })
})

test.each(Object.keys(keys))('%s: keys, outputs and gradients of the reference', async (file) => {
  const symbols = new Map<string, Tensor>()
  const given = (key: string, type: 'f32' | 'i64' = 'f32') => {
    const symbol = symbols.get(key) ?? input(key, tensorOf(networks, `${file}.${key}`).shape, type)
    symbols.set(key, symbol)
    return symbol
  }
  let made: Tensor | undefined
  const p = glideParams(file, (built) => {
    const f = built as unknown as {
      text: (t: Tensor, m: Tensor) => never
      predict: (x: Tensor, t: Tensor, text: never) => Tensor
    } & ((a: Tensor, b: Tensor) => Tensor)
    if (file === 'clip_image_enc') made = f(given('image'), given('timestep', 'i64'))
    else if (file === 'clip_text_enc') made = f(given('tokens', 'i64'), given('length', 'i64').sub(1))
    else {
      const x =
        file === 'base'
          ? given('x')
          : given('x')
              .padAxis(1, 0, 7)
              .add(given('seen').padAxis(1, 3, 0))
      made = f.predict(x, given('timestep'), f.text(given('tokens', 'i64'), given('mask')))
    }
  })
  const { keys: count, parameters, sha256 } = keys[file] as Omit<Described, 'config'>
  expect(keysOf(p)).toEqual({ keys: count, parameters, sha256 })
  const seed = String(glideSeed(file))
  const scaled = { ...networks, metadata: { ...networks.metadata, seed } }
  expect(await disagreements(scaled, file, { p, symbols, outputs: { made: made as Tensor } })).toEqual([])
})

test("tokens are the reference's", () => {
  const expected = JSON.parse(networks.metadata.tokens as string) as Record<string, { glide: number[]; clip: number[] }>
  const glide = GlideTokenizer.open(fixtures)
  const clip = ClipTokenizer.ofMerges(mergesIn(join(fixtures, 'bpe_simple_vocab_16e6.txt'), 100))
  for (const [text, numbers] of Object.entries(expected))
    expect({ glide: glide.encode(text), clip: clip.encode(text) }, text).toEqual(numbers)
})

test("CLIP's gradient at two levels of noise", async () => {
  const source = glideSource(dir)
  if (!source) throw new Error('not found')
  const image = openNetwork(source.network('clip_image', ['GlideClipImage']))
  const text = openNetwork(source.network('clip_text', ['GlideClipText']))
  const clip = noisedClip(image, text, ClipTokenizer.ofMerges(mergesIn(join(dir, 'bpe_simple_vocab_16e6.txt'), 100)), {
    threads: 1,
  })
  const gradient = await clip.gradient('the red fox')
  for (const t of [5, 600]) {
    const expected = tensorOf(networks, `clip gradient.${t}`)
    const found = await gradient(tensorOf(networks, 'clip gradient.x'), t)
    expect(maxDifference(found, expected) / expected.abs().max().item()).toBeLessThan(1e-4)
  }
  await clip.release()
})

test.each(cases.map((one) => [one.name, one] as const))(
  'the pictures of its notebooks: %s',
  { timeout: 60_000 },
  async (name, one) => {
    const { mask, name: _, ...options } = one
    const given = mask && {
      image: await decodeImage(join(fixtures, 'inputs/picture.png')),
      mask: await decodeMask(join(fixtures, 'inputs/mask.png')),
    }
    const pipeline = await opening
    const stages: unknown[] = []
    const result = await finish(pipeline.generate({ steps: 20, ...options, ...given }), ({ stage, done, total, i, latents }) => {
      if (done === total) stages.push([stage, i, latents.shape[2]])
    })
    expect(stages).toEqual([
      [0, 19, 16],
      [1, 26, 32],
    ])
    if (result.type !== 'pictures') throw new Error('no pictures')
    const [made] = imagesOf(result.pictures).map((image) => toPixels(image))
    expect(maxDifference(made as NdArray, tensorOf(pictures, `${name}.large`))).toBeLessThanOrEqual(1)
  },
)

test('timesteps as OpenAI spreads them', () => {
  expect(spacedTimesteps(1000, '4')).toEqual([0, 333, 666, 999])
  expect(spacedTimesteps(300, '10,15,20').length).toBe(45)
  const fast = spacedTimesteps(1000, 'fast27')
  expect([fast.length, fast.at(-1), fast.at(-2)]).toEqual([27, 997, 800])
  expect(spacedTimesteps(1000, 'ddim50').slice(0, 3)).toEqual([0, 20, 40])
  for (const bad of ['', 'ddim999', '0', '1,,2', '600,600', 'slow'])
    expect(() => spacedTimesteps(1000, bad), bad).toThrow(LangevinError)
})

test('without the enlarging network the small picture is the result; what is not there is named', {
  timeout: 60_000,
}, async () => {
  const small = glideCheckpoint()
  for (const file of ['upsample', 'base_inpaint', 'clip_text_enc']) rmSync(join(small, `${file}.pt`))
  const pipeline = await loadPipeline(small, { threads: 1 })
  const result = await finish(pipeline.generate({ prompt: 'the red Fox, a photo', steps: 20, seed: 0 }))
  if (result.type !== 'pictures') throw new Error('no pictures')
  expect(maxDifference(toPixels(imagesOf(result.pictures)[0] as never), tensorOf(pictures, 'text.small'))).toBeLessThanOrEqual(1)
  await pipeline.release()
  const image = NdArray.zeros([3, 8, 8])
  expect(() => pipeline.plan({ prompt: 'a', image, mask: image })).toThrow(/has no base_inpaint\.pt/)
  expect(() => pipeline.plan({ prompt: 'a', image })).toThrow(/a picture and its mask are needed/)
  expect(() => pipeline.plan({ prompt: 'a', clipGuidance: 1 })).toThrow(/has no clip_image_enc\.pt and clip_text_enc\.pt/)
  expect(() => pipeline.plan({ prompt: 'a', spacing: 'slow' })).toThrow(/spacing: "slow"/)
  writeFileSync(join(small, 'config.json'), JSON.stringify({ base: { num_channels: 64 } }))
  await expect(loadPipeline(small)).rejects.toThrow(/base\.pt/)
  rmSync(join(small, 'encoder.json'))
  await expect(loadPipeline(small)).rejects.toThrow(LangevinError)
  rmSync(small, { recursive: true })
})
