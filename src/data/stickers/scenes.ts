import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { type Batch, type Dataset, labelsOf } from '../dataset.ts'
import { hashOf } from '../hash.ts'
import { captionOf, type SceneCaption } from './captions.ts'
import { type Style, stickerCatalogue, styles } from './catalogue.ts'
import { Draw } from './draw.ts'
import { withEarlierNames } from './earlier-fields.ts'
import { type ComposedScene, layOut, type ObjectSizes, onGrid, type SceneGrid, type Setting } from './layout.ts'
import { isCounted, type Noun, sceneNouns } from './nouns.ts'
import { loadRasters, type RasterProgress, type Rasters } from './rasters.ts'
import { type Background, backgroundNames, drawScene } from './scene.ts'
import { isHeldOutPair } from './stickers.ts'

/**
 * Which scenes: `train`, or one of four sorts of scenes that `train` never shows. `phrasings`: captions worded in ways that are
 * held out; `pairs`: two objects that are never together; `grounds`: an object on a background that it is never on; `icons`: icons
 * that are never shown.
 */
export const sceneSplits = ['train', 'phrasings', 'pairs', 'grounds', 'icons'] as const
export type SceneSplit = (typeof sceneSplits)[number]

/** One pair of objects in ten is never in one picture of `train`. */
export const areHeldApart = (a: string, b: string): boolean => hashOf(`together ${[a, b].sort().join(' and ')}`) % 10 === 0

export interface SceneOptions {
  /** Pixels a side. */
  readonly size: number
  readonly split?: SceneSplit
  readonly styles?: readonly Style[]
  /** What the scenes show; `sceneNouns()` by default, and in the split `icons` all held-out icons of things. */
  readonly nouns?: readonly Noun[]
  /** How often each setting comes, as weights. */
  readonly settings?: Readonly<Record<Setting, number>>
  /** How large objects are; `varied` by default. */
  readonly sizes?: ObjectSizes
  /** Where objects may stand and how large they may be; anywhere, and of any size, by default. */
  readonly grid?: SceneGrid | undefined
  /** @deprecated Give `grid`, which is the same. */
  readonly lattice?: SceneGrid | undefined
  /** Scenes that are never shown: another of the same setting replaces them. */
  readonly exclude?: (scene: ComposedScene) => boolean
  readonly seed?: number
  /** Where the icons' pixels are kept; the cache folder by default. */
  readonly folder?: string
  readonly onProgress?: RasterProgress
}

/** A batch of scenes, with what is in each. */
export interface SceneBatch extends Batch {
  readonly scenes: readonly ComposedScene[]
  /** What each caption describes. */
  readonly details: readonly SceneCaption[]
  /** @deprecated Read `details`, which is the same. */
  readonly told: readonly SceneCaption[]
}

export interface SceneDataset extends Dataset<SceneBatch> {
  readonly nouns: readonly Noun[]
  /** What the picture at a position shows. */
  sceneAt(position: number): ComposedScene
  /** Its caption; another variant is another wording of the same scene. */
  captionAt(position: number, variant?: number): SceneCaption
  /** Draws scenes: [B, 3, size, size]. */
  render(scenes: readonly ComposedScene[]): NdArray<'f32'>
}

/** Scenes in an epoch. There is no end to them: position p is a scene of its own in every epoch. */
const EPOCH = 2 ** 16

/** Excluded scenes in turn: after so many of one setting another is tried; after so many in all there is taken to be no other scene. */
const SETTING_PATIENCE = 100
const PATIENCE = 10_000

const usual: Readonly<Record<Setting, number>> = { single: 35, count: 15, two: 38, three: 12 }

/** Every held-out icon that is a thing, by its name. */
const heldOutNouns = (): Noun[] =>
  stickerCatalogue()
    .filter(({ heldOut, category }) => heldOut && category !== 'People & Body' && category !== 'Smileys & Emotion')
    .map((icon) => ({ icon, words: [icon.name] }))

/**
 * Pictures of one to four stickers on a coloured background, with captions. The scene at a position, its picture and its caption
 * depend on the options alone.
 *
 * @throws ArgumentError for options that leave no scene
 */
export async function sceneDataset(options: SceneOptions): Promise<SceneDataset> {
  const { size, split = 'train', seed = 0, settings = usual, sizes = 'varied', exclude } = options
  const grid = options.grid ?? options.lattice
  if (!Number.isInteger(size) || size < 1) throw new ArgumentError(`scenes: expected a size in whole pixels, got ${size}`)
  const { cells, sides = [] } = grid ?? {}
  if (cells !== undefined && (!Number.isInteger(cells) || cells < 4))
    throw new ArgumentError(`scenes: expected a ${options.grid ? 'grid' : 'lattice'} of 4 cells a side or more, got ${cells}`)
  const wrong = cells === undefined ? undefined : sides.find((side) => !Number.isInteger(side) || side < 1 || side > cells)
  if (wrong !== undefined) throw new ArgumentError(`scenes: expected sides of 1 to ${cells} whole cells, got ${wrong}`)
  const shown = [...new Set(options.styles ?? styles)]
  const nouns = (options.nouns ?? (split === 'icons' ? heldOutNouns() : sceneNouns())).filter(
    ({ icon }) => icon.heldOut === (split === 'icons') && shown.every((style) => icon.slugs[style]),
  )
  if (shown.length === 0 || nouns.length < 3)
    throw new ArgumentError(`scenes: three icons at least, in one style at least; got ${nouns.length} in ${shown.length}`)
  const rasters = new Map<Style, Rasters>()
  for (const style of shown)
    rasters.set(
      style,
      await loadRasters(style, {
        icons: nouns.map(({ icon }) => icon),
        ...(options.folder === undefined ? {} : { folder: options.folder }),
        ...(options.onProgress ? { onProgress: options.onProgress } : {}),
      }),
    )
  const root = new Generator(seed)
  const fractions = sides.map((side) => side / (cells as number))
  const fits = castingOf(split)
  const numbers = new Map(nouns.map(({ icon }, i) => [icon.name, i]))

  const sceneAt = (position: number): ComposedScene => {
    if (!Number.isSafeInteger(position) || position < 0)
      throw new ArgumentError(`scenes: expected a position of 0 or more, got ${position}`)
    const draw = new Draw(root.fork(position), fractions)
    // Excluding scenes must not make their setting rarer, unless it has hardly any others.
    let kept: Setting | undefined
    for (let excluded = 0; excluded < PATIENCE; ) {
      const setting = kept ?? draw.weighted(settings)
      const cast = Array.from({ length: { single: 1, count: 1, two: 2, three: 3 }[setting] }, () => draw.of(nouns))
      const background = draw.of(backgroundNames)
      if (setting === 'count' && !isCounted((cast[0] as Noun).words[0] as string)) continue
      const names = cast.map(({ icon }) => icon.name)
      if (!fits(names, background)) continue
      const free = layOut({ nouns: cast, style: draw.of(shown), background }, setting, sizes, draw)
      const scene = cells === undefined ? free : onGrid(free, cells)
      for (const group of scene.groups) if (group.position) withEarlierNames(group, { place: group.position })
      withEarlierNames(scene, { ground: background })
      if (!exclude?.(scene)) return scene
      kept = ++excluded % SETTING_PATIENCE === 0 ? undefined : setting
    }
    throw new ArgumentError(`scenes: position ${position}: ${PATIENCE} scenes in turn are all excluded; use more nouns or styles`)
  }
  const captionAt = (position: number, variant = 0, scene = sceneAt(position)): SceneCaption =>
    captionOf(scene, new Draw(root.fork(`caption ${position} ${variant}`)), { heldOut: split === 'phrasings' })
  const render = (scenes: readonly ComposedScene[]): NdArray<'f32'> => {
    const each = 3 * size * size
    const images = NdArray.zeros([scenes.length, 3, size, size])
    for (const [i, scene] of scenes.entries()) drawScene(scene, rasters, size, images.data.subarray(i * each, (i + 1) * each))
    return images
  }

  return {
    length: EPOCH,
    shape: [3, size, size],
    classes: nouns.map(({ icon }) => icon.name),
    nouns,
    sceneAt,
    captionAt: (position, variant) => captionAt(position, variant),
    render,
    async batch(positions) {
      const scenes = positions.map(sceneAt)
      const details = positions.map((position, i) => captionAt(position, 0, scenes[i]))
      const batch: Omit<SceneBatch, 'told'> = {
        images: render(scenes),
        captions: details.map(({ text }) => text),
        labels: labelsOf(scenes.map(({ groups: [group] }) => numbers.get(group?.noun.icon.name as string) as number)),
        scenes,
        details,
      }
      return withEarlierNames(batch as SceneBatch, { told: details })
    },
  }
}

/** Whether a split shows these icons together on this background. */
function castingOf(split: SceneSplit): (icons: readonly string[], background: Background) => boolean {
  return (icons, background) => {
    if (new Set(icons).size < icons.length) return false
    if (split === 'icons') return true
    const apart = icons.some((a, i) => icons.slice(i + 1).some((b) => areHeldApart(a, b)))
    const strange = icons.some((icon) => isHeldOutPair(icon, background))
    return apart === (split === 'pairs') && strange === (split === 'grounds')
  }
}
