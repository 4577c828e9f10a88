import { beforeAll, describe, expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { type Background, backgroundNames, backgrounds, stickerDataset } from '../../data/index.ts'
import { classifierConfig } from '../../models/classifier/index.ts'
import type { ImageClassifier } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { stickersSchema } from '../data.ts'
import { drawnPictures } from './drawn.ts'
import {
  measureClassifier,
  measurePictures,
  nearestRows,
  type PictureQuality,
  pixelwiseGaussian,
  shareCertain,
} from './quality.ts'
import { accuracyTable, distanceTable, inColumns, inMarkdown, withError } from './tables.ts'

const data = stickersSchema.parse({ kind: 'stickers', styles: ['flat'], categories: ['Food & Drink'] })
const SIDE = 12

/** Stands for a trained classifier: its features are colours averaged over a 3 × 3 raster, its background the colour in the corner. */
const byColour: ImageClassifier = {
  config: classifierConfig({
    sample_size: SIDE,
    block_out_channels: [27],
    norm_num_groups: 1,
    heads: { icon: ['red apple', 'pear'], ground: [...backgroundNames] },
  }),
  async classify(images) {
    const [n] = images.shape as [number]
    const features = images.reshape([n, 3, 3, SIDE / 3, 3, SIDE / 3]).mean({ axes: [3, 5] })
    const corner = images.slice(2, 0, 1).slice(3, 0, 1).reshape([n, 3])
    const distance = (row: NdArray, background: Background) =>
      backgrounds[background].reduce((sum, level, c) => sum + Math.abs(Number(row.data[c]) - ((2 * level) / 255 - 1)), 0)
    const logits = Array.from({ length: n }, (_, i) => backgroundNames.map((background) => -distance(corner.row(i), background)))
    const always = NdArray.from(Array.from({ length: n }, () => [1, 0]))
    return { features: features.reshape([n, 27]), logits: { icon: always, ground: NdArray.from(logits) } }
  },
  async release() {},
}

test('nearest rows are those of all pairs', () => {
  const generator = new Generator(0)
  const [a, b] = [generator.randn([5, 7]), generator.randn([9, 7])]
  const all = Array.from({ length: 5 }, (_, i) => Array.from({ length: 9 }, (_, j) => a.row(i).sub(b.row(j)).norm().item()))
  const found = nearestRows(a, b)
  for (const [i, row] of all.entries()) {
    expect(found[i]?.position).toBe(row.indexOf(Math.min(...row)))
    expect(found[i]?.distance).toBeCloseTo(Math.min(...row), 5)
  }
})

test('a row is certain where one class has nine tenths, or what is asked', () => {
  const rows = NdArray.from([
    [Math.log(9.1), 0, -50],
    [Math.log(8.9), 0, -50],
    [1000, 0, 0],
    [0, 0, 0],
  ])
  expect(shareCertain(rows)).toBe(0.5)
  expect(shareCertain(rows, 0.95)).toBe(0.25)
  expect(shareCertain(rows, 0.3)).toBe(1)
})

test('the Gaussian of every pixel has its mean and deviation, and no correlation', () => {
  const generator = new Generator(1)
  const shared = generator.randn([400, 1]).mul(0.1)
  const pictures = shared.expand([400, 4]).add(NdArray.from([0, 0.2, -0.3, 0.5]))
  const drawn = pixelwiseGaussian(pictures, 20_000, generator)
  // Five standard errors.
  expect(maxDifference(drawn.mean({ axes: [0] }), pictures.mean({ axes: [0] }))).toBeLessThan(0.004)
  expect(maxDifference(drawn.std({ axes: [0] }), pictures.std({ axes: [0] }))).toBeLessThan(0.003)
  const centred = drawn.sub(drawn.mean({ axes: [0] })).div(0.1)
  expect(Math.abs(centred.slice(1, 0, 1).dot(centred.slice(1, 1, 2))) / 20_000).toBeLessThan(0.04)
  expect(pixelwiseGaussian(pictures.add(0.9), 100, generator).max().item()).toBeLessThanOrEqual(1)
})

describe('pictures measured', () => {
  const num = 120
  const found: Record<string, PictureQuality> = {}
  let places: number[] = []
  let drawn = new Set<number>()
  const training = { train_batch_size: 16, seed: 9 }
  beforeAll(async () => {
    const draw = async (split: 'train' | 'test', seed: number) => {
      const dataset = await stickerDataset({ size: SIDE, styles: data.styles, categories: data.categories, split, seed })
      return (await dataset.batch(Array.from({ length: num }, (_, i) => i))).images
    }
    for (const [name, pictures] of [
      ['training', await draw('train', 5)],
      ['held out', await draw('test', 5)],
      ['noise', new Generator(2).rand([num, 3, SIDE, SIDE]).mul(2).sub(1)],
    ] as const) {
      const gallery = await drawnPictures({ training }, { data, size: SIDE, steps: 30, count: 4 * num })
      const { quality, nearest } = await measurePictures(pictures, { data, classifier: byColour, name, gallery })
      drawn = new Set(gallery.positions)
      found[name] = quality
      places = nearest.map(({ position }) => position)
    }
  }, 120_000)
  const at = (name: string, set: string) => found[name]?.sets.find((one) => one.name === set)

  test('pictures of a kind lie at the floor of that kind', () => {
    for (const [name, floor, column] of [
      ['training', 'other pictures of the training icons', 'training'],
      ['held out', 'pictures of held-out icons', 'heldOut'],
    ] as const) {
      const [own, same] = [at(name, name)?.[column], at(name, floor)?.[column]]
      expect(Math.abs((own?.distance as number) - (same?.distance as number))).toBeLessThan(5 * (same?.error as number))
      expect(own?.distance).toBeLessThan((at(name, 'a Gaussian fitted to every pixel')?.[column].distance as number) / 3)
    }
  })

  test('noise lies where noise lies, beyond everything else', () => {
    const [own, noise] = [at('noise', 'noise')?.training, at('noise', 'uniform noise')?.training]
    expect((own?.distance as number) / (noise?.distance as number)).toBeCloseTo(1, 1)
    const others = found.noise?.sets.slice(2, 4).map(({ training }) => training.distance) as number[]
    expect(Math.max(...others)).toBeLessThan(noise?.distance as number)
  })

  test('the sets that do not depend on the samples do not change, and the gallery is what training drew', () => {
    expect(found.training?.sets.slice(1)).toEqual(found.noise?.sets.slice(1))
    expect(found.training?.icons).toEqual({ training: 119, heldOut: 11 })
    expect(found.training?.nearest.samples).toBeLessThan(found.noise?.nearest.samples as number)
    expect(places.filter((position) => !drawn.has(position))).toEqual([])
    expect([found.noise?.nearest.gallery, found.noise?.nearest.drawn]).toEqual([480, 480])
  })

  test('a sample that is a picture of training has the distance 0 to it', async () => {
    const gallery = await drawnPictures({ training }, { data, size: SIDE, steps: 30, count: 4 * num })
    const own = gallery.positions.slice(100, 140)
    const { images } = await gallery.dataset.batch(own)
    const { quality, nearest } = await measurePictures(images, { data, classifier: byColour, name: 'copies', gallery })
    expect(quality.nearest.samples).toBe(0)
    expect(nearest.map(({ position }) => position)).toEqual(own)
    expect(quality.nearest.training).toBeGreaterThan(0)
  })

  test('the tables have a row a set', () => {
    const rows = distanceTable({
      ...(found.noise as PictureQuality),
      model: 'noise',
      steps: 1,
      seed: 0,
      scheduler: 'ddim',
      classifier: 'c',
    })
    expect(rows.map(([name]) => name).slice(0, 2)).toEqual(['120 pictures each', 'noise'])
    expect(inMarkdown(rows).split('\n')).toHaveLength(rows.length + 1)
    const lines = inColumns(rows).split('\n')
    expect(new Set(lines.map(({ length }) => length)).size).toBe(1)
  })
})

test('errors decide the digits', () => {
  expect(withError(12.3456, 0.234)).toBe('12.35 ± 0.23')
  expect(withError(1234.56, 34)).toBe('1,235 ± 34')
  expect(withError(0.1234, 0.0056)).toBe('0.1234 ± 0.0056')
})

test('a classifier is counted on icons, backgrounds and pairs that it can know', async () => {
  const found = await measureClassifier(byColour, { data, num: 238 })
  // Two epochs of 119 icons on training pictures: two in 238 are red apples.
  expect(found.accuracy.icon?.train).toBe(2 / 238)
  expect(found.accuracy.icon).not.toHaveProperty('test')
  expect(found.accuracy.ground).toEqual({ train: 1, pairs: 1, test: 1 })
  expect(accuracyTable({ ...found, model: 'c' })).toContainEqual(['ground', '100.0 %', '100.0 %', '100.0 %'])
})
