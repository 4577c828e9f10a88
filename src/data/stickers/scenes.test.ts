import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ArgumentError } from '../../core/errors.ts'
import { isHeldOutPhrasing } from './captions.ts'
import { isHeldOut } from './catalogue.ts'
import type { ComposedScene } from './layout.ts'
import { type Noun, nounsOf, pluralOf, sceneNouns } from './nouns.ts'
import { type Background, backgroundNames, backgrounds } from './scene.ts'
import { areHeldApart, type SceneOptions, sceneDataset, sceneSplits } from './scenes.ts'
import { isHeldOutPair } from './stickers.ts'

const folder = mkdtempSync(join(tmpdir(), 'langevin-scenes-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const scenes = (options: Partial<SceneOptions> = {}) => sceneDataset({ size: 32, styles: ['noto'], folder, ...options })
const positions = (count: number) => Array.from({ length: count }, (_, i) => i)

/** What a caption says, read by its words alone. */
function parse(text: string, nouns: readonly Noun[]) {
  const forms = nouns.flatMap(({ icon, words }) =>
    words.flatMap((word) => [
      { icon: icon.name, form: word, many: false },
      ...(pluralOf(word) === word ? [] : [{ icon: icon.name, form: pluralOf(word), many: true }]),
    ]),
  )
  forms.sort((a, b) => b.form.length - a.form.length)
  // Every noun becomes the number of its form, the longest first: `cat face` before `cat`.
  let rest = ` ${text} `.replace(/[,]/g, ' ,')
  for (const [i, { form }] of forms.entries()) rest = rest.replaceAll(` ${form} `, ` #${i} `)
  const named = [...rest.matchAll(/(?:(an?|two|three|four) )?(?:(small|little|tiny|large|big|huge) )?#(\d+)/g)].map(
    ([, number = 'a', size, at]) => {
      const { icon, many } = forms[Number(at)] as (typeof forms)[number]
      return {
        icon,
        many,
        count: ({ two: 2, three: 3, four: 4 } as Record<string, number>)[number] ?? 1,
        size,
        at: rest.indexOf(`#${at}`),
      }
    },
  )
  const clean = rest.replace(/#\d+/g, '#')
  return {
    named,
    background: backgroundNames.find((background) => clean.includes(` ${background} `)),
    style: ['flat', '3d', 'noto'].find((style) => clean.includes(` ${style} `)),
    /** Whether the first named stands before the second, from left to right or top to bottom; none where it is not said. */
    first: /# (to the )?left of|# (above|over) |# on the left and|# at the top and|from left to right|from top to bottom/.test(
      clean,
    )
      ? true
      : /# (to the )?right of|# (below|under) |# on the right and|# at the bottom and/.test(clean)
        ? false
        : undefined,
    axis: /left|right/.test(clean) ? 'x' : 'y',
    position: /in the|at the|on the/.test(
      clean.replace(/in the (flat|3d|noto)|on the (left|right) and|at the (top|bottom) and/g, ''),
    ),
  }
}

type Centre = Readonly<Record<'count' | 'x' | 'y', number>>
const centre = ({ objects }: ComposedScene, icon: string): Centre => {
  const own = objects.filter((object) => object.icon.name === icon)
  return {
    count: own.length,
    x: own.reduce((sum, { x }) => sum + x, 0) / own.length,
    y: own.reduce((sum, { y }) => sum + y, 0) / own.length,
  }
}

describe('a scene', () => {
  test('on a grid: whole cells at whole cells, and side by side as before', async () => {
    const [free, snapped] = [await scenes(), await scenes({ grid: { cells: 16 } })]
    const whole = (value: number) => expect(value * 16).toBeCloseTo(Math.round(value * 16), 9)
    for (const position of positions(600)) {
      const before = free.sceneAt(position).objects
      const { objects } = snapped.sceneAt(position)
      for (const [i, { x, y, size, icon }] of objects.entries()) {
        const from = before[i] as (typeof before)[number]
        expect(icon).toBe(from.icon)
        expect(size).toBeLessThanOrEqual(from.size + 1e-9)
        expect(Math.abs(x - from.x) + Math.abs(y - from.y)).toBeLessThanOrEqual(2 / 16)
        for (const at of [size, x - size / 2, y - size / 2]) whole(at)
        for (const other of objects.slice(i + 1)) {
          const apart = Math.max(Math.abs(x - other.x), Math.abs(y - other.y))
          expect(apart).toBeGreaterThanOrEqual((size + other.size) / 2 - 1e-9)
        }
      }
    }
    const few = await scenes({ grid: { cells: 16, sides: [5, 7, 10, 14] } })
    const seen = positions(600).flatMap((position) => few.sceneAt(position).objects.map(({ size }) => size * 16))
    expect([...new Set(seen)].sort((a, b) => a - b)).toEqual([5, 7, 10, 14])
    await expect(scenes({ grid: { cells: 16, sides: [17] } })).rejects.toThrow(/sides of 1 to 16 whole cells, got 17/)
    await expect(scenes({ grid: { cells: 2.5 } })).rejects.toThrow(/grid of 4 cells a side or more, got 2.5/)
  })

  test.each(sceneSplits)('%s: its caption says what is in the picture, and no more', async (split) => {
    const dataset = await scenes({ split })
    const relations = new Set<unknown>()
    for (const position of positions(600)) {
      const scene = dataset.sceneAt(position)
      const { text, described } = dataset.captionAt(position)
      const said = parse(text, dataset.nouns)
      const wrong = `${position}: ${text}`
      expect(new Set(said.named.map(({ icon }) => icon)), wrong).toEqual(new Set(scene.groups.map(({ noun }) => noun.icon.name)))
      for (const { icon, count, size, many } of said.named) {
        const there = centre(scene, icon)
        expect(there.count, wrong).toBe(count)
        if (pluralOf(icon) !== icon && count > 1) expect(many, wrong).toBe(true)
        const group = scene.groups.findIndex(({ noun }) => noun.icon.name === icon)
        expect(size !== undefined, wrong).toBe(described.sizes[group])
        if (size) expect(/small|little|tiny/.test(size) ? 'small' : 'large', wrong).toBe(scene.groups[group]?.size)
      }
      expect(said.background, wrong).toBe(described.background ? scene.background : undefined)
      expect(said.style, wrong).toBe(described.style ? scene.style : undefined)
      expect(said.first !== undefined, wrong).toBe(described.relation)
      if (said.first !== undefined) {
        const [a, b] = said.named.map(({ icon }) => centre(scene, icon)) as [Centre, Centre]
        expect(a[said.axis as 'x' | 'y'] < b[said.axis as 'x' | 'y'], wrong).toBe(said.first)
        expect(said.axis, wrong).toBe(scene.axis)
      }
      relations.add(said.first === undefined ? undefined : `${said.axis} ${said.first}`)
    }
    expect(relations.size).toBe(5)
  })

  test('keeps its objects in the picture and apart', async () => {
    const dataset = await scenes()
    for (const position of positions(400)) {
      const { objects } = dataset.sceneAt(position)
      for (const { x, y, size } of objects)
        for (const at of [x, y]) expect(at - size / 2 > -1e-9 && at + size / 2 < 1 + 1e-9).toBe(true)
      for (const [i, a] of objects.entries())
        for (const b of objects.slice(0, i))
          expect(Math.max(Math.abs(a.x - b.x), Math.abs(a.y - b.y))).toBeGreaterThan((0.95 * (a.size + b.size)) / 2)
    }
  })

  test('of large objects: 24 pixels of 64 at least, apart, in the picture, on whole cells', async () => {
    const dataset = await scenes({ sizes: 'large', grid: { cells: 8, sides: [3, 4, 5, 7] } })
    const seen = new Map<number, number>()
    for (const position of positions(600)) {
      const { objects } = dataset.sceneAt(position)
      for (const [i, { x, y, size }] of objects.entries()) {
        seen.set(size * 8, (seen.get(size * 8) ?? 0) + 1)
        for (const at of [x - size / 2, y - size / 2]) {
          expect(at * 8).toBe(Math.round(at * 8))
          expect(at >= 0 && at + size <= 1).toBe(true)
        }
        for (const other of objects.slice(0, i)) {
          const apart = Math.max(Math.abs(x - other.x), Math.abs(y - other.y))
          expect(apart).toBeGreaterThanOrEqual((size + other.size) / 2)
        }
      }
    }
    expect([...seen.keys()].sort()).toEqual([3, 4, 5, 7])
    expect(seen.get(4) as number).toBeGreaterThan(600)
  })

  test('is drawn: its background at the corners that objects leave free, and something where they are', async () => {
    const dataset = await scenes({ settings: { single: 1, count: 0, two: 1, three: 1 } })
    const { images, scenes: drawn } = await dataset.batch(positions(64))
    for (const [i, { background, objects }] of drawn.entries()) {
      const pixel = (x: number, y: number) => [0, 1, 2].map((c) => images.data[((i * 3 + c) * 32 + y) * 32 + x] as number)
      const plain = backgrounds[background].map((level) => Math.fround((2 * level) / 255 - 1))
      const free = [0, 31]
        .flatMap((x) => [0, 31].map((y) => [x, y] as const))
        .filter(([x, y]) =>
          objects.every(
            (one) => Math.max(Math.abs(one.x - (x + 0.5) / 32), Math.abs(one.y - (y + 0.5) / 32)) > one.size / 2 + 0.05,
          ),
        )
      for (const [x, y] of free) expect(pixel(x, y)).toEqual(plain)
      const changed = positions(1024).filter((at) => pixel(at % 32, at >> 5).some((level, c) => level !== plain[c]))
      expect(changed.length).toBeGreaterThan(20)
    }
  })
})

describe('scenes', () => {
  test('answer to the names of before, and are the same scenes for the option of before', async () => {
    const grid = { cells: 8, sides: [3, 4, 5, 7] }
    const [now, before] = [await scenes({ sizes: 'large', grid }), await scenes({ sizes: 'large', lattice: grid })]
    expect((await now.batch(positions(50))).captions).toEqual((await before.batch(positions(50))).captions)
    const { scenes: shown, details, told } = await now.batch(positions(50))
    expect(told).toBe(details)
    for (const [i, scene] of shown.entries()) {
      expect(before.sceneAt(i)).toEqual(scene)
      expect([scene.ground, scene.groups[0]?.place]).toEqual([scene.background, scene.groups[0]?.position])
      expect(details[i]?.told).toBe(details[i]?.described)
      expect([told[i]?.told.ground, told[i]?.told.place]).toEqual([told[i]?.described.background, told[i]?.described.position])
    }
    const other = shown.map((scene) => backgroundNames.find((name) => name !== scene.background) as Background)
    const changed = now.render(shown.map((scene, i) => ({ ...scene, background: other[i] as Background })))
    expect(now.render(shown.map((scene, i) => ({ ...scene, ground: other[i] as Background })))).toEqual(changed)
    expect(changed).not.toEqual(now.render(shown))
  })

  test('depend on the options and the position alone, pictures and captions', async () => {
    const [a, b, c] = [await scenes(), await scenes(), await scenes({ seed: 1 })]
    const at = [5, 70_000, 2 ** 32]
    const [first, again, other] = [await a.batch(at), await b.batch([...at].reverse()), await c.batch(at)]
    expect(first.captions).toEqual([...again.captions].reverse())
    expect(first.images.slice(0, 0, 1)).toEqual(again.images.slice(0, 2, 3))
    expect(first.captions).not.toEqual(other.captions)
    expect(new Set(positions(20).map((variant) => a.captionAt(5, variant).text)).size).toBeGreaterThan(5)
  })

  test('never show in training what is held out, and the other splits always do', async () => {
    const facts = async (split: (typeof sceneSplits)[number]) => {
      const dataset = await scenes({ split })
      return positions(1500).map((position) => {
        const { groups, background } = dataset.sceneAt(position)
        const icons = groups.map(({ noun }) => noun.icon.name)
        return {
          icons: icons.some(isHeldOut),
          grounds: icons.some((icon) => isHeldOutPair(icon, background)),
          pairs: icons.some((a, i) => icons.slice(i + 1).some((b) => areHeldApart(a, b))),
          phrasings: isHeldOutPhrasing(dataset.captionAt(position).phrasing),
        }
      })
    }
    const none = { icons: false, grounds: false, pairs: false, phrasings: false }
    for (const fact of await facts('train')) expect(fact).toEqual(none)
    for (const split of ['phrasings', 'pairs', 'grounds'] as const)
      for (const fact of await facts(split)) expect(fact).toEqual({ ...none, [split]: true })
    for (const fact of await facts('icons')) expect(fact.icons).toBe(true)
  })

  test('take any icons, and refuse what leaves no scene', async () => {
    const nouns = nounsOf({ ghost: 'ghost', robot: 'robot, droid', owl: 'owl' })
    const dataset = await scenes({ nouns })
    const found = new Set(positions(50).flatMap((at) => dataset.sceneAt(at).groups.map(({ noun }) => noun.icon.name)))
    expect([...found].sort()).toEqual(['ghost', 'owl', 'robot'])
    expect(() => nounsOf({ gryphon: 'gryphon' })).toThrow(ArgumentError)
    await expect(scenes({ nouns: nouns.slice(1) })).rejects.toThrow('three icons at least')
    await expect(scenes({ size: 0 })).rejects.toThrow(ArgumentError)
    expect(() => dataset.sceneAt(-1)).toThrow(ArgumentError)
  })
})

test('the vocabulary: drawn in every style, none held out, no word for two icons', () => {
  const nouns = sceneNouns()
  expect(nouns.length).toBeGreaterThanOrEqual(60)
  expect(nouns.filter(({ icon }) => icon.heldOut || Object.keys(icon.slugs).length < 3)).toEqual([])
  const words = nouns.flatMap((noun) => noun.words)
  expect(words.filter((word, i) => words.indexOf(word) !== i)).toEqual([])
  expect(sceneNouns(['fox', 'slice of pizza']).map(({ icon }) => icon.name)).toEqual(['fox', 'slice of pizza'])
  expect(() => sceneNouns(['fox', 'wolf'])).toThrow(/no "wolf"; there are chick, cat/)
})

test.each([
  ['apple', 'apples'],
  ['slice of pizza', 'slices of pizza'],
  ['butterfly', 'butterflies'],
  ['monkey', 'monkeys'],
  ['bus', 'buses'],
  ['tropical fish', 'tropical fish'],
  ['maple leaf', 'maple leaves'],
  ['cup of coffee', 'cups of coffee'],
  ['tomato', 'tomatoes'],
])('one %s, two %s', (one, many) => {
  expect(pluralOf(one)).toBe(many)
})
