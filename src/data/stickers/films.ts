import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { type Style, styles } from './catalogue.ts'
import { Draw } from './draw.ts'
import { drawMotion, isHeldOutMotion, isHeldOutMotionOf, type Motion, motionCaption, type Path, pathsOf } from './motions.ts'
import { type Noun, sceneNouns } from './nouns.ts'
import { loadRasters, type RasterProgress, type Rasters } from './rasters.ts'
import { type Background, backgroundNames, drawScene, type SceneObject } from './scene.ts'

/**
 * Which films: `train`, or one of three sorts that `train` never shows. `motions`: motions that are held out altogether; `combinations`:
 * a thing in a motion that it never has in `train`; `phrasings`: captions worded in ways that are held out.
 */
export const filmSplits = ['train', 'motions', 'combinations', 'phrasings'] as const
export type FilmSplit = (typeof filmSplits)[number]

export interface FilmOptions {
  readonly split?: FilmSplit
  readonly styles?: readonly Style[]
  /** What the films show; `sceneNouns()` by default. */
  readonly nouns?: readonly Noun[]
  readonly seed?: number
  /** Where the icons' pixels are kept; the cache folder by default. */
  readonly folder?: string
  readonly onProgress?: RasterProgress
}

/** The size and length of films: pixels, frames, and how many of them a second. */
export interface FilmShape {
  readonly width: number
  readonly height: number
  readonly frames: number
  readonly rate: number
}

/** What a film shows. */
export interface FilmScene {
  readonly motion: Motion
  /** One, or two that cross. */
  readonly nouns: readonly Noun[]
  readonly style: Style
  readonly background: Background
  /** Of each thing, in a film of the shape that was asked for; shares of the longer side. */
  readonly paths: readonly Path[]
}

export interface FilmDataset {
  readonly nouns: readonly Noun[]
  filmAt(position: number, shape: FilmShape): FilmScene
  /** Another variant is another wording of the same film. */
  captionAt(position: number, variant?: number): string
  /** A film's pictures: f32 [T, 3, H, W] in [−1, 1]. */
  render(film: FilmScene, shape: FilmShape): NdArray<'f32'>
  /** The pictures at a position. */
  framesAt(position: number, shape: FilmShape): NdArray<'f32'>
}

/** Films in turn that the split does not show: after so many there is taken to be none. */
const PATIENCE = 10_000

/**
 * Films of one or two stickers that move over a coloured background, with captions of their motion. What the film at a position shows
 * depends on the options alone, and where things stand also on the film's shape.
 *
 * @throws ArgumentError for options that leave no film
 */
export async function filmDataset(options: FilmOptions = {}): Promise<FilmDataset> {
  const { split = 'train', seed = 0 } = options
  const shown = [...new Set(options.styles ?? styles)]
  const nouns = (options.nouns ?? sceneNouns()).filter(({ icon }) => !icon.heldOut && shown.every((style) => icon.slugs[style]))
  if (shown.length === 0 || nouns.length < 2)
    throw new ArgumentError(`films: two icons at least, in one style at least; got ${nouns.length} in ${shown.length}`)
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

  /** What is decided before the film's shape is known. */
  const castAt = (position: number) => {
    if (!Number.isSafeInteger(position) || position < 0)
      throw new ArgumentError(`films: expected a position of 0 or more, got ${position}`)
    const draw = new Draw(root.fork(`film ${position}`))
    for (let turn = 0; turn < PATIENCE; turn++) {
      const motion = drawMotion(draw)
      const cast = Array.from({ length: motion.kind === 'cross' ? 2 : 1 }, () => draw.of(nouns))
      const [style, background] = [draw.of(shown), draw.of(backgroundNames)]
      const names = cast.map(({ icon }) => icon.name)
      if (new Set(names).size < names.length) continue
      const strange = isHeldOutMotion(motion)
      const unseen = names.some((name) => isHeldOutMotionOf(name, motion))
      if (strange !== (split === 'motions') || (unseen && split !== 'motions') !== (split === 'combinations')) continue
      return { motion, nouns: cast, style, background }
    }
    throw new ArgumentError(`films: position ${position}: no film of the split ${split} in ${PATIENCE} turns; use more nouns`)
  }
  const sizeOf = ({ width, height }: FilmShape) => {
    const side = Math.max(width, height)
    return { side, width: width / side, height: height / side }
  }
  const filmAt = (position: number, shape: FilmShape): FilmScene => {
    const cast = castAt(position)
    const { width, height } = sizeOf(shape)
    const seconds = Math.max(1, shape.frames - 1) / shape.rate
    return { ...cast, paths: pathsOf(cast.motion, { seconds, width, height }, new Draw(root.fork(`paths ${position}`))) }
  }
  const render = ({ nouns: cast, style, background, paths }: FilmScene, shape: FilmShape): NdArray<'f32'> => {
    const { width, height, frames, rate } = shape
    const { side } = sizeOf(shape)
    const out = NdArray.zeros([frames, 3, height, width], 'f32')
    const square = new Float32Array(3 * side * side)
    for (let t = 0; t < frames; t++) {
      const objects = paths.flatMap((path, i): SceneObject[] => {
        const pose = path(t / rate)
        return pose ? [{ icon: (cast[i] as Noun).icon, style, ...pose }] : []
      })
      drawScene({ background, objects }, rasters, side, square)
      for (let c = 0; c < 3; c++)
        for (let y = 0; y < height; y++) {
          const from = (c * side + y) * side
          out.data.set(square.subarray(from, from + width), ((t * 3 + c) * height + y) * width)
        }
    }
    return out
  }
  return {
    nouns,
    filmAt,
    render,
    framesAt: (position, shape) => render(filmAt(position, shape), shape),
    captionAt(position, variant = 0) {
      const { motion, nouns: cast, background } = castAt(position)
      const draw = new Draw(root.fork(`film caption ${position} ${variant}`))
      return motionCaption(motion, cast, background, draw, { heldOut: split === 'phrasings' })
    },
  }
}
