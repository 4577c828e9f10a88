import { expect, test } from 'vitest'
import { contentOf, isHeldOutPhrasing } from '../data/index.ts'
import { recipes } from './bundled/index.ts'
import { scenesOf, scenesSchema } from './data.ts'
import { HELD_OUT, heldOutSet, TRAINED, trainingScenes } from './held-out.ts'

const data = scenesSchema.parse(recipes['stickers-t2i']?.config.data)
const open = (name: 'validation' | 'test' | 'pairs') => heldOutSet(data, name, { size: 8 })
const contents = (scenes: Parameters<typeof contentOf>[0][]) => new Set(scenes.map(contentOf))
const firstOf = async (seed: number, count: number) => {
  const dataset = await trainingScenes(data, { size: 8, seed })
  return Array.from({ length: count }, (_, i) => dataset.sceneAt(i))
}

test('no scene of the test is one of training or of validation, and no two are the same; captions neither', {
  timeout: 60_000,
}, async () => {
  const [validation, tested] = [await open('validation'), await open('test')]
  const trained = contents(await firstOf(0, TRAINED))
  for (const { scenes, captions, details } of [validation, tested]) {
    const own = contents([...scenes])
    expect(own.size).toBe(HELD_OUT)
    expect(new Set(captions).size).toBe(HELD_OUT)
    expect([...own].filter((content) => trained.has(content))).toEqual([])
    expect(details.every(({ phrasing }) => isHeldOutPhrasing(phrasing))).toBe(true)
  }
  const before = contents([...validation.scenes])
  expect(tested.scenes.filter((scene) => before.has(contentOf(scene)))).toEqual([])
  expect(tested.captions.filter((caption) => validation.captions.includes(caption))).toEqual([])
  // Without the exclusion a seventh of such scenes are in training.
  const plain = await scenesOf(data, { size: 8, seed: 40_000, split: 'phrasings' })
  const seen = Array.from({ length: HELD_OUT }, (_, i) => plain.sceneAt(i)).filter((scene) => trained.has(contentOf(scene)))
  expect(seen.length).toBeGreaterThan(50)
  // As many of several as there are in training.
  const several = tested.scenes.filter(({ groups }) => groups.length === 1 && (groups[0]?.count as number) > 1)
  expect(several.length / HELD_OUT).toBeCloseTo(0.15, 1)
})

test('training with another seed gives way to the held-out scenes; with the bundled one nothing changes', {
  timeout: 60_000,
}, async () => {
  const held = contents([...(await open('validation')).scenes, ...(await open('test')).scenes])
  expect((await firstOf(1, TRAINED)).filter((scene) => held.has(contentOf(scene)))).toEqual([])
  const other = await scenesOf(data, { size: 8, seed: 1 })
  expect(Array.from({ length: TRAINED }, (_, i) => other.sceneAt(i)).some((scene) => held.has(contentOf(scene)))).toBe(true)
  const plain = await scenesOf(data, { size: 8, seed: 0 })
  const own = await firstOf(0, TRAINED)
  expect(own.every((scene, i) => contentOf(scene) === contentOf(plain.sceneAt(i)))).toBe(true)
})

test('the sets do not change: what models were scored on is what later ones are scored on', async () => {
  const [validation, tested, pairs] = [await open('validation'), await open('test'), await open('pairs')]
  expect([validation, tested, pairs].map(({ captions }) => captions[0])).toEqual([
    'a doughnut on a grey background, flat style',
    'a doughnut on a purple background in noto style',
    'a snowman, a star and a green frog on white in noto style',
  ])
  expect(tested.captions.slice(1, 3)).toEqual([
    'a flat sticker of a little red fox at the top on yellow',
    'two sunflowers with a green background, in the noto style',
  ])
  const some = await heldOutSet(data, 'test', { size: 8, count: 3 })
  expect(some.captions).toEqual(tested.captions.slice(0, 3))
  expect(some.render(some.scenes).shape).toEqual([3, 3, 8, 8])
})
