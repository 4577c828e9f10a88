import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ArgumentError } from '../../core/errors.ts'
import { imagesOf } from '../../images/index.ts'
import { categories, type Icon, iconFile, iconSources, isHeldOut, stickerCatalogue, styles } from './catalogue.ts'
import { withArticle } from './names.ts'
import { sceneNouns } from './nouns.ts'
import { loadRasters, rasterSize } from './rasters.ts'
import { type Background, backgroundNames, type Scene } from './scene.ts'
import { isHeldOutPair, type StickerDataset, type StickerOptions, stickerDataset } from './stickers.ts'

const folder = mkdtempSync(join(tmpdir(), 'langevin-stickers-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const named = (name: string) => stickerCatalogue().find((icon) => icon.name === name) as Icon
/** One style, drawn once for all tests of this file. */
const stickers = (options: Partial<StickerOptions> = {}) => stickerDataset({ size: 32, styles: ['noto'], folder, ...options })

describe('catalogue', () => {
  const icons = stickerCatalogue()

  test('every icon is in its sets under its slugs', () => {
    for (const style of ['flat', 'noto'] as const) {
      const drawn = iconFile<{ icons: Record<string, { hidden?: boolean }> }>(style, 'icons.json').icons
      const slugs = icons.flatMap((icon) => icon.slugs[style] ?? [])
      expect(slugs.length).toBeGreaterThan(1100)
      expect(new Set(slugs).size).toBe(slugs.length)
      expect(slugs.filter((slug) => !drawn[slug] || drawn[slug].hidden)).toEqual([])
    }
    expect(icons.every(({ slugs }) => slugs.flat === slugs['3d'])).toBe(true)
  })

  test('names are unique, sorted, and read as English', () => {
    const names = icons.map(({ name }) => name)
    expect(names).toEqual([...new Set(names)].sort((a, b) => (a < b ? -1 : 1)))
    expect(
      names.filter((name) => /_|skin|tone\d|clock$|thirty|facing right|^(man|woman) (?!dancing|with a headscarf)/.test(name)),
    ).toEqual(['alarm clock', 'mantelpiece clock', 'timer clock'])
    expect(named('red apple')).toMatchObject({ category: 'Food & Drink', slugs: { flat: 'red-apple', noto: 'red-apple' } })
    // One name where the sets have two.
    expect(named('piñata').slugs).toEqual({ flat: 'piata', '3d': 'piata', noto: 'pinata' })
    expect(named('vertical traffic light')).toBeDefined()
  })

  test('a tenth is held out, by name alone: pinned, for models are trained on this split and docs/data.md states it', () => {
    const held = icons.filter(({ heldOut }) => heldOut).map(({ name }) => name)
    expect([icons.length, held.length]).toEqual([1188, 118])
    expect(styles.map((style) => icons.filter(({ slugs }) => slugs[style]).length)).toEqual([1165, 1165, 1188])
    expect(held.filter((name) => /^[de]/.test(name))).toEqual([
      'e-mail',
      'egg',
      'envelope with arrow',
      'euro banknote',
      'exploding head',
    ])
    expect(held.every(isHeldOut)).toBe(true)
    for (const category of categories) expect(icons.some((icon) => icon.category === category && icon.heldOut)).toBe(true)
  })

  test.each([
    ['red apple', 'a red apple'],
    ['owl', 'an owl'],
    ['unicorn', 'a unicorn'],
    ['ewe', 'a ewe'],
    ['hourglass', 'an hourglass'],
    ['X-ray', 'an X-ray'],
    ['umbrella', 'an umbrella'],
    ['glass of milk', 'a glass of milk'],
    ['octopus', 'an octopus'],
    ['grapes', 'grapes'],
    ['nest with eggs', 'a nest with eggs'],
    ['spaghetti', 'spaghetti'],
    ['Statue of Liberty', 'the Statue of Liberty'],
    ['person lifting weights', 'a person lifting weights'],
  ])('%s: %s', (name, phrase) => {
    expect(icons.some((icon) => icon.name === name)).toBe(true)
    expect(withArticle(name)).toBe(phrase)
  })

  test('every source names its author, its licence and its package, which carries that licence', () => {
    for (const style of styles) {
      const { author, licence, url } = iconSources[style]
      const packaged = iconFile<{ license: string }>(style, 'package.json')
      expect(packaged.license).toBe(licence)
      expect(author).not.toBe('')
      expect(url).toMatch(/^https:\/\/github\.com\//)
    }
  })
})

describe('rasters', () => {
  const icons = ['fox', 'ghost', 'castle', 'bicycle'].map(named)

  test('are drawn once, kept in one file, and made again when it is damaged', async () => {
    const own = mkdtempSync(join(folder, 'own-'))
    const reports: string[] = []
    const load = () =>
      loadRasters('noto', { folder: own, icons, onProgress: (style, done, total) => reports.push(`${style} ${done}/${total}`) })
    const first = await load()
    expect(reports).toEqual(['noto 1/4', 'noto 2/4', 'noto 3/4', 'noto 4/4'])
    const [file] = readdirSync(own) as [string]
    const bytes = readFileSync(join(own, file))
    const second = await load()
    expect(reports).toHaveLength(4)
    for (const icon of icons) expect(second.of(icon)).toEqual(first.of(icon))
    truncateSync(join(own, file), statSync(join(own, file)).size / 2)
    await load()
    expect(reports).toHaveLength(8)
    expect(readFileSync(join(own, file))).toEqual(bytes)
    expect(() => first.of(named('owl'))).toThrow(ArgumentError)
  })

  test('hold a picture with alpha multiplied in, in every style', async () => {
    for (const style of styles) {
      const rasters = await loadRasters(style, { folder, icons: icons.slice(0, 2) })
      for (const icon of icons.slice(0, 2)) {
        const pixels = rasters.of(icon)
        expect(pixels.length).toBe(rasterSize ** 2 * 4)
        let solid = 0
        for (let i = 0; i < pixels.length; i += 4) {
          const alpha = pixels[i + 3] as number
          if (alpha === 255) solid++
          for (let c = 0; c < 3; c++) expect(pixels[i + c] as number).toBeLessThanOrEqual(alpha)
        }
        // Most of the middle is covered, and the corner is not.
        expect(solid / rasterSize ** 2).toBeGreaterThan(0.3)
        expect(pixels[3]).toBe(0)
      }
    }
  })

  test('files of older packages go when a new one is made', async () => {
    const own = mkdtempSync(join(folder, 'old-'))
    writeFileSync(join(own, `noto-${rasterSize}-0123456789abcdef.safetensors`), 'old')
    writeFileSync(join(own, `flat-${rasterSize}-0123456789abcdef.safetensors`), 'another style')
    await loadRasters('noto', { folder: own })
    expect(readdirSync(own).filter((name) => name.startsWith('noto'))).toHaveLength(1)
    expect(existsSync(join(own, `flat-${rasterSize}-0123456789abcdef.safetensors`))).toBe(true)
  })
})

describe('dataset', () => {
  test('some things alone, on whole cells, labelled by what they are and in which style', async () => {
    const nouns = sceneNouns(['fox', 'donut'])
    const set = await stickers({ nouns, grid: { cells: 8, sides: [6, 7] }, labels: 'icon and style' })
    expect(set.classes).toEqual(['donut in noto style', 'fox in noto style'])
    const places = new Set<string>()
    for (let position = 0; position < 200; position++) {
      const { icon, x, y, size } = set.sceneAt(position).objects[0] as Scene['objects'][number]
      expect(set.classes[set.labelAt(position)]).toBe(`${icon.name === 'fox' ? 'fox' : 'donut'} in noto style`)
      places.add([8 * size, 8 * (x - size / 2), 8 * (y - size / 2)].join(' '))
    }
    // Three by three places for icons of six cells, two by two for those of seven.
    expect([...places].sort()).toEqual(
      [6, 7]
        .flatMap((side) => [0, 1, 2].flatMap((x) => [0, 1, 2].map((y) => [side, x, y])))
        .filter(([side = 0, x = 0, y = 0]) => side + Math.max(x, y) <= 8)
        .map((place) => place.join(' '))
        .sort(),
    )
    expect((await set.batch([0, 1, 2])).labels.toNested()).toEqual([0, 1, 2].map((at) => set.labelAt(at)))
    await expect(stickers({ grid: { cells: 8, sides: [9] } })).rejects.toThrow(/sides of 1 to 8 whole cells, got 9/)
    await expect(stickers({ grid: { cells: 2 }, scale: [0.6, 0.9] })).rejects.toThrow(/got none/)
  })

  /** Everything that an epoch or several show. */
  const shown = (set: StickerDataset, epochs = 1) =>
    Array.from({ length: epochs * set.length }, (_, position) => {
      const { background, objects } = set.sceneAt(position)
      expect(objects).toHaveLength(1)
      return { background, ...(objects[0] as Scene['objects'][number]) }
    })

  test('the same seed gives the same pictures, however they are read; another seed gives others', async () => {
    const set = await stickers({ seed: 3 })
    const all = await set.batch([0, 1, 2, 1_000_000])
    const again = await (await stickers({ seed: 3 })).batch([1_000_000, 1])
    const [, one, , far] = imagesOf(all.images)
    expect(imagesOf(again.images).map(({ data }) => [...data])).toEqual([[...(far?.data ?? [])], [...(one?.data ?? [])]])
    expect(again.captions).toEqual([all.captions[3], all.captions[1]])
    const other = await (await stickers({ seed: 4 })).batch([0, 1, 2])
    expect(other.captions).not.toEqual(all.captions.slice(0, 3))
    expect(all.images.shape).toEqual([4, 3, 32, 32])
    expect(all.images.data.every((v) => v >= -1.000001 && v <= 1.000001)).toBe(true)
  })

  test('an epoch shows each icon once, and the next one shows it otherwise', async () => {
    const set = await stickers()
    const [first, second] = [shown(set), shown(set, 2).slice(set.length)]
    for (const epoch of [first, second]) expect(new Set(epoch.map(({ icon }) => icon)).size).toBe(set.length)
    const backgroundOf = new Map(first.map(({ icon, background }) => [icon, background]))
    const changed = second.filter(({ icon, background }) => backgroundOf.get(icon) !== background).length
    expect(changed / set.length).toBeGreaterThan(0.8)
    for (const { x, y, size } of first) {
      expect(size).toBeGreaterThanOrEqual(0.72)
      expect(size).toBeLessThanOrEqual(0.94)
      for (const centre of [x, y]) {
        expect(centre - size / 2).toBeGreaterThanOrEqual(-1e-9)
        expect(centre + size / 2).toBeLessThanOrEqual(1 + 1e-9)
      }
    }
  })

  test('training shows no held-out icon and no held-out pair; the other splits show nothing else', async () => {
    const [train, test, pairs, all] = await Promise.all(
      (['train', 'test', 'pairs', 'all'] as const).map((split) => stickers({ split })),
    )
    const keys = (set: StickerDataset | undefined, epochs: number) => shown(set as StickerDataset, epochs)
    for (const { icon, background } of keys(train, 3)) {
      expect(icon.heldOut).toBe(false)
      expect(isHeldOutPair(icon.name, background)).toBe(false)
    }
    for (const { icon, background } of keys(pairs, 3)) {
      expect(icon.heldOut).toBe(false)
      expect(isHeldOutPair(icon.name, background)).toBe(true)
    }
    expect(keys(test, 1).every(({ icon }) => icon.heldOut)).toBe(true)
    expect(new Set(keys(test, 20).map(({ background }) => background)).size).toBe(backgroundNames.length)
    expect((train?.length ?? 0) + (test?.length ?? 0)).toBe(all?.length)
    expect(pairs?.length).toBeGreaterThan(500)
  })

  test('backgrounds are about equally frequent', async () => {
    const set = await stickers({ split: 'all' })
    const counts = new Map<Background, number>()
    for (const { background } of shown(set, 4)) counts.set(background, (counts.get(background) ?? 0) + 1)
    for (const background of backgroundNames)
      expect(Math.abs((counts.get(background) ?? 0) / (4 * set.length) - 1 / 12)).toBeLessThan(0.02)
  })

  test('captions say what is there, and labels number what was asked for', async () => {
    const positions = [5, 6, 7]
    for (const labels of ['category', 'icon', 'style', 'background', 'ground'] as const) {
      const set = await stickers({ labels })
      const batch = await set.batch(positions)
      for (const [i, { background, objects }] of batch.scenes.entries()) {
        const { icon, style } = objects[0] as Scene['objects'][number]
        expect(batch.captions[i]).toBe(`${withArticle(icon.name)} on ${withArticle(background)} background, noto style`)
        expect(set.classes[Number(batch.labels.data[i])]).toBe(
          { category: icon.category, icon: icon.name, style, background, ground: background }[labels],
        )
      }
      expect(batch.scenes).toEqual(positions.map(set.sceneAt))
    }
  })

  test('categories narrow it down, and options that leave nothing are refused', async () => {
    const food = await stickers({ categories: ['Food & Drink'] })
    expect(food.icons.every(({ category }) => category === 'Food & Drink')).toBe(true)
    expect(food.length).toBe(food.icons.length)
    for (const options of [{ categories: [] }, { styles: [] }, { size: 0 }, { size: 1.5 }, { scale: [0.9, 0.5] as const }])
      await expect(stickers(options)).rejects.toThrow(ArgumentError)
    expect(() => food.sceneAt(-1)).toThrow(ArgumentError)
  })
})
