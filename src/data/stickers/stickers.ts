import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { type Batch, type Dataset, epochOrder, labelsOf } from '../dataset.ts'
import { hashOf } from '../hash.ts'
import { type Category, categories, type Icon, type Style, stickerCatalogue, styles } from './catalogue.ts'
import { withEarlierNames } from './earlier-fields.ts'
import type { SceneGrid } from './layout.ts'
import { withArticle } from './names.ts'
import type { Noun } from './nouns.ts'
import { loadRasters, type RasterProgress, type Rasters } from './rasters.ts'
import { type Background, backgroundNames, backgroundOf, drawScene, type Scene, type SceneObject } from './scene.ts'

/**
 * Which pictures: `train` shows nine icons of ten; `test` the rest, which no training picture shows in any style; `pairs`
 * the icons of `train`, each on the backgrounds that `train` never puts it on; `all` everything.
 */
export type Split = 'train' | 'test' | 'pairs' | 'all'

/** Between which fractions of the picture's side an icon's is drawn, by default. */
export const defaultScale: readonly [least: number, most: number] = [0.72, 0.94]

/** An icon on one background in ten is left for the split `pairs`. */
export const isHeldOutPair = (name: string, background: Background): boolean => hashOf(`pair ${name} on ${background}`) % 10 === 0

export interface StickerOptions {
  /** Pixels a side. */
  readonly size: number
  readonly split?: Split
  readonly styles?: readonly Style[]
  readonly categories?: readonly Category[]
  readonly seed?: number
  /** Of these things alone; of every icon of the categories by default. */
  readonly nouns?: readonly Noun[]
  /** What the labels number; the category by default. `ground` is the earlier word for `background`; `icon and style`: `fox in flat style`. */
  readonly labels?: 'category' | 'icon' | 'style' | 'background' | 'ground' | 'icon and style'
  /** The icon's side is drawn between these fractions of the picture's; it always lies wholly within. */
  readonly scale?: readonly [least: number, most: number]
  /** Icons are whole cells wide, one of `sides`, and stand at whole cells; at any place and of any side of `scale` by default. */
  readonly grid?: SceneGrid | undefined
  /** Where the icons' pixels are kept; the cache folder by default. */
  readonly folder?: string
  /** Called while icons are drawn for the first time. */
  readonly onProgress?: RasterProgress
}

/** A batch of stickers, and what is on each. */
export interface StickerBatch extends Batch {
  readonly scenes: readonly Scene[]
}

/** Pictures of one icon on a coloured background, each icon in each style once an epoch. */
export interface StickerDataset extends Dataset<StickerBatch> {
  readonly icons: readonly Icon[]
  /** What the picture at a position shows. */
  sceneAt(position: number): Scene
  /** Its label. */
  labelAt(position: number): number
}

/** `a red apple on a blue background, flat style` */
export function stickerCaption(scene: Scene): string {
  const { icon, style } = scene.objects[0] as SceneObject
  return `${withArticle(icon.name)} on ${withArticle(backgroundOf(scene))} background, ${style} style`
}

/** An icon's side and centre, by three numbers from 0 to 1. */
type Placing = (side: number, x: number, y: number) => Pick<SceneObject, 'size' | 'x' | 'y'>

const anywhere =
  ([least, most]: readonly [number, number]): Placing =>
  (s, x, y) => {
    const size = least + s * (most - least)
    return { size, x: size / 2 + x * (1 - size), y: size / 2 + y * (1 - size) }
  }

/** @throws ArgumentError for cells that nothing fits in */
function onCells({ cells, sides }: SceneGrid, [least, most]: readonly [number, number]): Placing {
  const fitting = sides ?? positionsOf(cells).filter((side) => least * cells <= side && side <= most * cells)
  const wrong = [cells, ...fitting].some((count) => !Number.isInteger(count) || count < 1 || count > cells)
  if (wrong || fitting.length === 0)
    throw new ArgumentError(`stickers: expected sides of 1 to ${cells} whole cells, got ${fitting.join(', ') || 'none'}`)
  return (s, x, y) => {
    const side = fitting[Math.floor(s * fitting.length)] as number
    const centre = (at: number) => (Math.floor(at * (cells - side + 1)) + side / 2) / cells
    return { size: side / cells, x: centre(x), y: centre(y) }
  }
}
const positionsOf = (cells: number): number[] => Array.from({ length: cells }, (_, i) => i + 1)

/**
 * Stickers rendered from three open icon sets: Fluent Emoji flat and with gradients (MIT, Microsoft) and Noto Emoji
 * (Apache-2.0, Google). The first use on a machine draws every icon once; after that a batch is made from the kept pixels.
 *
 * @throws ArgumentError for options that leave no picture
 */
export async function stickerDataset(options: StickerOptions): Promise<StickerDataset> {
  const { size, split = 'train', seed = 0, labels = 'category', scale = defaultScale, nouns, grid } = options
  const [least, most] = scale
  const place = grid ? onCells(grid, scale) : anywhere(scale)
  if (!Number.isInteger(size) || size < 1) throw new ArgumentError(`stickers: expected a size in whole pixels, got ${size}`)
  if (!(least > 0 && least <= most && most <= 1))
    throw new ArgumentError(`stickers: expected a scale 0 < least ≤ most ≤ 1, got ${least} and ${most}`)
  const shown = options.styles ?? styles
  const wanted = new Set(options.categories ?? categories)
  const words = new Map(nouns?.map(({ icon, words }) => [icon.name, words[0] as string]))
  const backgroundsOf = (icon: Icon): Background[] =>
    split === 'train' || split === 'pairs'
      ? backgroundNames.filter((background) => isHeldOutPair(icon.name, background) === (split === 'pairs'))
      : backgroundNames
  const icons = stickerCatalogue().filter(
    (icon) =>
      wanted.has(icon.category) &&
      (nouns === undefined || words.has(icon.name)) &&
      (split === 'all' || icon.heldOut === (split === 'test')) &&
      shown.some((style) => icon.slugs[style]) &&
      backgroundsOf(icon).length > 0,
  )
  const entries = icons.flatMap((icon) => {
    const allowed = backgroundsOf(icon)
    return shown.filter((style) => icon.slugs[style]).map((style) => ({ icon, style, allowed }))
  })
  if (entries.length === 0)
    throw new ArgumentError(
      `stickers: no icon of ${[...wanted].join(', ') || 'no category'} in ${shown.join(', ') || 'no style'}`,
    )
  const iconAndStyle = ({ name }: Icon, style: Style) => `${words.get(name) ?? name} in ${style} style`
  const rasters = new Map<Style, Rasters>()
  for (const style of new Set(shown))
    rasters.set(
      style,
      await loadRasters(style, {
        ...(nouns && { icons: icons.filter(({ slugs }) => slugs[style]) }),
        ...(options.folder === undefined ? {} : { folder: options.folder }),
        ...(options.onProgress ? { onProgress: options.onProgress } : {}),
      }),
    )

  const classes: readonly string[] = {
    category: categories,
    icon: icons.map(({ name }) => name),
    style: styles,
    background: backgroundNames,
    ground: backgroundNames,
    'icon and style': icons.flatMap((icon) =>
      [...new Set(shown)].filter((style) => icon.slugs[style]).map((style) => iconAndStyle(icon, style)),
    ),
  }[labels]
  const numbers = new Map(classes.map((name, i) => [name, i]))
  const root = new Generator(seed)
  const orderOf = epochOrder(seed, entries.length)

  const sceneAt = (position: number): Scene => {
    if (!Number.isSafeInteger(position) || position < 0)
      throw new ArgumentError(`stickers: expected a position of 0 or more, got ${position}`)
    const { icon, style, allowed } = entries[orderOf(position)] as (typeof entries)[number]
    const [g, s, x, y] = root.fork(position).rand([4]).data as unknown as [number, number, number, number]
    const background = allowed[Math.floor(g * allowed.length)] as Background
    const object = { icon, style, ...place(s, x, y) }
    return withEarlierNames<Scene>({ background, objects: [object] }, { ground: background })
  }
  const labelOf = ({ background, objects: [object] }: Scene): number => {
    const { icon, style } = object as SceneObject
    const names = { category: icon.category, icon: icon.name, style, background, ground: background }
    return numbers.get({ ...names, 'icon and style': iconAndStyle(icon, style) }[labels]) as number
  }

  return {
    length: entries.length,
    shape: [3, size, size],
    classes,
    icons,
    sceneAt,
    labelAt: (position) => labelOf(sceneAt(position)),
    async batch(positions) {
      const scenes = positions.map(sceneAt)
      const each = 3 * size * size
      const images = NdArray.zeros([scenes.length, 3, size, size])
      for (const [i, scene] of scenes.entries()) drawScene(scene, rasters, size, images.data.subarray(i * each, (i + 1) * each))
      return { images, captions: scenes.map(stickerCaption), labels: labelsOf(scenes.map(labelOf)), scenes }
    },
  }
}
