import { z } from 'zod'
import { ArgumentError } from '../core/errors.ts'
import {
  type ComposedScene,
  categories,
  type Dataset,
  defaultScale,
  imageFolder,
  objectSizes,
  type SceneDataset,
  type SceneSplit,
  type StickerDataset,
  type StickerOptions,
  sceneDataset,
  sceneNouns,
  stickerDataset,
  styles,
} from '../data/index.ts'
import type { Colour } from '../images/index.ts'

/** Stickers of these styles and categories. */
export const stickersSchema = z.strictObject({
  kind: z.literal('stickers'),
  styles: z
    .array(z.enum(styles))
    .min(1)
    .default([...styles]),
  categories: z
    .array(z.enum(categories))
    .min(1)
    .default([...categories]),
  /** An icon's side, as a fraction of the picture's: drawn between these two. */
  scale: z
    .tuple([z.number().positive(), z.number().max(1)])
    .refine(([least, most]) => least <= most, 'must be 0 < least ≤ most ≤ 1')
    .default([...defaultScale]),
  /** Of these things alone, by the first words for them; of every icon of the categories by default. */
  nouns: z.array(z.string()).min(1).optional(),
  /** A grid of `cells` × `cells`: icons are one of `sides` cells wide, whatever the scale, and stand at whole cells. */
  lattice: z.strictObject({ cells: z.int().min(1), sides: z.array(z.int().positive()).min(1) }).optional(),
})
export type StickersConfig = z.infer<typeof stickersSchema>

/** Scenes of stickers in these styles. */
export const scenesSchema = z.strictObject({
  kind: z.literal('scenes'),
  styles: z
    .array(z.enum(styles))
    .min(1)
    .default([...styles]),
  /** What the scenes show, by the first words for it; all of `sceneNouns()` by default. */
  nouns: z.array(z.string()).min(3).optional(),
  /** `large` leaves out what few pixels show: small objects are three eighths of the picture wide. */
  sizes: z.enum(objectSizes).optional(),
  /** A grid of `cells` × `cells`: objects are whole cells wide and stand at whole cells; anywhere by default. */
  lattice: z.strictObject({ cells: z.int().min(4), sides: z.array(z.int().positive()).optional() }).optional(),
})
export type ScenesConfig = z.infer<typeof scenesSchema>

export interface ScenesOptions {
  readonly size: number
  readonly seed: number
  readonly split?: SceneSplit
  /** Scenes that are left out. */
  readonly exclude?: (scene: ComposedScene) => boolean
}

/** The scenes of a split. What training learns from is `trainingScenes`. */
export const scenesOf = (
  { styles, nouns, sizes, lattice }: ScenesConfig,
  { size, seed, split = 'train', exclude }: ScenesOptions,
): Promise<SceneDataset> =>
  sceneDataset({
    ...{ size, styles, seed, split },
    ...(exclude && { exclude }),
    ...(nouns && split !== 'icons' && { nouns: sceneNouns(nouns) }),
    ...(sizes && { sizes }),
    ...(lattice && { grid: lattice }),
  })

/** A folder of one's own pictures. */
export const folderSchema = z.strictObject({
  kind: z.literal('folder'),
  train_data_dir: z.string(),
  /** Mirrors half of the pictures; those whose captions say `left` or `right` never. */
  random_flip: z.boolean().default(false),
  /** Where the square lies that is cut out of a picture. */
  crop: z.enum(['center', 'random']).default('center'),
  /** What transparent pictures are laid over, as `#rrggbb`. */
  background: z
    .string()
    .regex(/^#[0-9a-f]{6}$/i, 'must be a colour as #rrggbb')
    .default('#ffffff'),
  /** With pictures that cannot be read: an error that lists them all, or the others without them. */
  broken: z.enum(['throw', 'skip']).default('throw'),
  /** The column of the metadata that holds the captions, unless it is `text` or `caption`. */
  caption_column: z.string().optional(),
})

/** Which pictures to learn. */
export const dataSchema = z.discriminatedUnion('kind', [stickersSchema, folderSchema])
export type DataConfig = z.infer<typeof dataSchema>

/** The stickers that a recipe names. */
export const stickersOf = (
  { styles, categories, scale, nouns, lattice }: StickersConfig,
  rest: Pick<StickerOptions, 'size' | 'split' | 'seed' | 'labels'>,
): Promise<StickerDataset> =>
  stickerDataset({
    ...{ styles, categories, scale },
    ...(nouns && { nouns: sceneNouns(nouns) }),
    ...(lattice && { grid: lattice }),
    ...rest,
  })

export interface DataContext {
  readonly size: number
  readonly seed: number
  /** As many as the network takes; 3 unless given. */
  readonly channels?: number
  /** The column of a folder's metadata that names control images. */
  readonly conditionColumn?: string | undefined
  /** Whether the classes are learnt: every picture must then lie in a class's folder. */
  readonly labelled?: boolean
  /** How many pictures of a folder have been checked. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
  readonly warn?: ((message: string) => void) | undefined
}

/** The pictures to train on. @throws ArgumentError for channels that the pictures have not */
export function trainingData(data: DataConfig, { size, seed, channels = 3, ...context }: DataContext): Promise<Dataset> {
  if (data.kind === 'stickers') {
    if (channels !== 3) throw new ArgumentError(`stickers have 3 channels; the network takes ${channels}`)
    return stickersOf(data, { size, seed })
  }
  if (channels !== 1 && channels !== 3)
    throw new ArgumentError(`pictures of a folder have 1 or 3 channels; the network takes ${channels}`)
  const { train_data_dir: dir, random_flip: flip, crop, background, broken, caption_column: captionColumn } = data
  const { labelled = false, conditionColumn, onProgress, warn } = context
  return imageFolder({
    ...{ dir, size, seed, channels, flip, crop, broken, labelled, background: colourOf(background) },
    ...(captionColumn !== undefined && { captionColumn }),
    ...(conditionColumn !== undefined && { conditionColumn }),
    ...(onProgress && { onProgress }),
    ...(warn && { warn }),
  })
}

const colourOf = (hex: string): Colour => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as unknown as Colour
