import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { fixture, maxDifference } from '../../tests/fixture.ts'
import { ConfigError } from '../checkpoints/index.ts'
import { ArgumentError } from '../core/errors.ts'
import { imagesOf, toPixels } from '../images/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { finish, loadPipeline, page, type Result, scheduler } from './index.ts'

const fixtures = fileURLToPath(new URL('../../parity/fixtures', import.meta.url))
const sd1 = `${fixtures}/stable-diffusion/sd1`

/** The pictures' levels, 0–255, [num, H, W, C]. */
function levels(result: Result): NdArray {
  if (result.type !== 'pictures') throw new Error(`no pictures but ${result.type}`)
  return NdArray.stack(imagesOf(result.pictures).map((image) => toPixels(image)))
}

test('two families by one call: the pictures of diffusers, previews on the way', { timeout: 120_000 }, async () => {
  const known = fixture('stable-diffusion/pictures').tensors.get('sd1.0') as NdArray
  const diffusion = await loadPipeline(sd1, { threads: 1 })
  expect(diffusion).toMatchObject({ className: 'StableDiffusionPipeline', output: 'pictures', place: sd1 })
  const prompt = 'a photo of a cat sitting on a wooden table, soft morning light'
  const run = diffusion.generate({ prompt, steps: 5 })
  const first = await run.next()
  if (first.done) throw new Error('no step')
  const preview = await first.value.preview()
  expect(preview.type === 'pictures' && preview.pictures.shape).toEqual([1, 3, ...known.shape.slice(0, 2)])
  expect(maxDifference(levels(await finish(run)).row(0), known)).toBeLessThanOrEqual(1)
  await diffusion.release()

  const faces = fixture('ddpm/pictures')
  const ddpm = await loadPipeline(`${fixtures}/ddpm`)
  const { seed, steps } = faces.metadata
  const made = await finish(ddpm.generate({ num: 3, seed: Number(seed), steps: Number(steps), scheduler: 'ddim' }))
  expect(maxDifference(levels(made), faces.tensors.get('ddim.0') as NdArray)).toBeLessThanOrEqual(1)
  await ddpm.release()
})

test('a plan says what a run would do', async () => {
  const model = await loadPipeline(sd1)
  expect(model.plan({ prompt: 'a fox', guidance: 0 })).toEqual({
    className: 'StableDiffusionPipeline',
    together: false,
    settings: { Steps: 50, Sampler: 'PNDMScheduler', 'CFG scale': 0 },
  })
})

test('what a page does not take is refused, and the error says what it takes', async () => {
  const model = await loadPipeline(sd1)
  expect(() => model.plan({ prompt: 'a fox', noiseLevel: 3 })).toThrow(/noiseLevel: no option here; it takes prompt, negative/)
  expect(() => model.plan({ prompt: 'a fox', prompt2: 'a hen' })).toThrow(ArgumentError)
  await expect(loadPipeline(`${fixtures}/ddpm`, { tiling: true })).rejects.toThrow(
    /is a DDPMPipeline, which does not take tiling; it takes variant/,
  )
})

test('a page may make something else of whatever parts it names', async () => {
  const words = page({
    classes: ['DDPMPipeline'],
    output: 'text',
    parts: { scheduler: scheduler() },
    options: z.object({ times: z.int().default(2) }),
    open: ({ scheduler: { _class_name: name } }) => ({ name, release: async () => {} }),
    plan: ({ name }) => ({ className: name, settings: {} }),
    async *generate({ name }, { times }) {
      for (let i = 0; i < times; i++) {
        const latents = NdArray.from([i], [1, 1])
        yield { picture: 0, i, done: i + 1, total: times, latents, preview: async () => ({ type: 'text', texts: [name] }) }
      }
      return { type: 'text', texts: [`${name} ${times}`] }
    },
  })
  const model = await loadPipeline(`${fixtures}/ddpm`, { pages: [words] })
  const seen: number[] = []
  expect(await finish(model.generate({ times: 3 }), ({ done }) => seen.push(done))).toEqual({
    type: 'text',
    texts: ['DDPMScheduler 3'],
  })
  expect(seen).toEqual([1, 2, 3])
})

test('a class without a page is told with those that have one', async () => {
  const own = page({
    classes: [],
    output: 'text',
    parts: {},
    options: z.object({}),
    open: () => ({ release: async () => {} }),
    plan: () => ({ className: '', settings: {} }),
    // biome-ignore lint/correctness/useYield: it is never run
    async *generate() {
      return { type: 'text', texts: [] }
    },
  })
  expect(own.output).toBe('text')
  await expect(loadPipeline(`${fixtures}/stable-diffusion/controlnet-a`)).rejects.toThrow(/has no model_index.json/)
  const { pageOf } = await import('./load.ts')
  const source = { className: 'FluxPipeline', place: sd1 } as Parameters<typeof pageOf>[0]
  expect(() => pageOf(source, [own])).toThrow(ConfigError)
  expect(() => pageOf(source, [own])).toThrow(/model_index\.json: _class_name: is FluxPipeline; there are pages for/)
})
