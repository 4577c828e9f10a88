import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { largeScenes, sceneDataset } from '../src/data/index.ts'
import { resize } from '../src/images/index.ts'
import {
  bundledModels,
  finish,
  loadClassifier,
  loadDdpm,
  loadDetector,
  loadPipeline,
  loadStableDiffusion,
  loadUpscaler,
  modelFolder,
} from '../src/pipelines/index.ts'
import { stickersSchema } from '../src/recipes/data.ts'
import { measureClassifier } from '../src/recipes/evaluation/quality.ts'
import { openRecipe } from '../src/recipes/index.ts'
import { NdArray } from '../src/runtime/ndarray.ts'

const read = (model: string, file: string) => readFileSync(join(modelFolder(model), file), 'utf8')

describe.each(bundledModels())('%s', (model) => {
  test('has a card with pictures, what was measured, and the recipe of its name', () => {
    const card = read(model, 'README.md')
    for (const [, path] of card.matchAll(/\]\((?!https:)([^)]+)\)/g))
      expect([path, existsSync(join(modelFolder(model), (path as string).replace(/#.*/, '')))]).toEqual([path, true])
    expect(JSON.parse(read(model, 'evaluation.json')).model).toBe(model)
    const [kept, named] = [openRecipe(join(modelFolder(model), 'recipe.json')), openRecipe(model)]
    expect([kept.kind, kept.config]).toEqual([named.kind, named.config])
    expect(kept.training).toMatchObject(named.training)
  })
})

/** The bundled pipelines of a class. */
const ofClass = (className: string) =>
  bundledModels().filter(
    (model) =>
      existsSync(join(modelFolder(model), 'model_index.json')) &&
      JSON.parse(read(model, 'model_index.json'))._class_name === className,
  )

test.each(ofClass('StableDiffusionPipeline'))('%s draws what it is told, the same for the same seed', async (model) => {
  const sd = await loadStableDiffusion(model)
  const draw = (prompt: string) => finish(sd.generate({ prompt, steps: 4, guidance: 3, seed: 1 }))
  const [blue, again, red] = [await draw('a cat on blue'), await draw('a cat on blue'), await draw('a cat on red')]
  await sd.release()
  expect(blue.shape).toEqual([1, 3, 64, 64])
  expect([...again.data]).toEqual([...blue.data])
  const redness = (pictures: typeof red) => pictures.slice(1, 0, 1).mean().item() - pictures.slice(1, 2, 3).mean().item()
  expect(redness(red)).toBeGreaterThan(redness(blue) + 0.2)
})

test.each(bundledModels().filter((model) => JSON.parse(read(model, 'recipe.json')).recipe === 'upscaler'))(
  '%s enlarges stickers that training did not show better than a bicubic filter',
  async (model) => {
    const scenes = await sceneDataset({ size: 64, split: 'icons', seed: 5 })
    const large = await largeScenes(256)([0, 1].map(scenes.sceneAt))
    const small = resize(large, { width: 64, height: 64, kernel: 'bicubic', range: [-1, 1] })
    const unit = (x: NdArray<'f32'>) => x.map((value) => Math.round((value + 1) * 127.5) / 255)
    const psnr = (made: NdArray<'f32'>) => -10 * Math.log10(made.sub(unit(large)).square().mean().item())
    const bicubic = resize(unit(small), { width: 256, height: 256, kernel: 'bicubic', range: [0, 1] })
    const upscaler = loadUpscaler(model, { threads: 1 })
    const made: NdArray<'f32'>[] = []
    for (const picture of [0, 1].map((i) => unit(small).row(i))) made.push(await finish(upscaler.upscale(picture)))
    await upscaler.release()
    expect(psnr(NdArray.stack(made))).toBeGreaterThan(psnr(bicubic) + 0.5)
  },
)

test.each(ofClass('DiTPipeline'))('%s draws the class that it is told, the same for the same seed', async (model) => {
  const dit = await loadPipeline(model)
  const draw = async (label: string) => {
    const made = await finish(dit.generate({ label, steps: 10, guidance: 2, seed: 1 }))
    return made.type === 'pictures' ? made.pictures : NdArray.zeros([1])
  }
  const [rainbow, again, star] = [await draw('rainbow, flat style'), await draw('flat rainbow'), await draw('star, 3d style')]
  expect(rainbow.shape).toEqual([1, 3, 64, 64])
  expect([...again.data]).toEqual([...rainbow.data])
  await dit.release()
  const judge = loadDetector(modelFolder('stickers-judge'))
  const { found } = await judge.detect(NdArray.concat([rainbow, star]))
  await judge.release()
  expect(found.map(({ objects }) => objects[0]?.name)).toEqual(['rainbow', 'star'])
})

test.each(ofClass('DDPMPipeline'))('%s samples', async (model) => {
  const ddpm = await loadDdpm(modelFolder(model))
  const pictures = await finish(ddpm.sample({ steps: 4, scheduler: 'ddim' }))
  await ddpm.release()
  expect([pictures.shape, pictures.allFinite()]).toEqual([[1, 3, 32, 32], true])
  expect(pictures.std().item()).toBeGreaterThan(0.1)
})

test('the bundled classifier knows its icons and grounds', async () => {
  const classifier = loadClassifier(modelFolder('sticker-classifier-32'))
  const { accuracy } = await measureClassifier(classifier, {
    data: stickersSchema.parse(openRecipe('sticker-classifier-32').config.data),
    num: 128,
  })
  await classifier.release()
  expect(accuracy.icon?.train).toBeGreaterThan(0.9)
  expect(accuracy.icon?.pairs).toBeGreaterThan(0.7)
  expect(accuracy.ground?.test).toBeGreaterThan(0.95)
})
