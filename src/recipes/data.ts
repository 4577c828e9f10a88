import { z } from 'zod'
import {
  categories,
  type Dataset,
  defaultScale,
  imageFolder,
  objectSizes,
  type SceneSplit,
  type StickerDataset,
  type StickerOptions,
  sceneDataset,
  sceneNouns,
  stickerDataset,
  styles,
} from '../data/index.ts'

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
  /** An icon's side is drawn between these fractions of the picture's. */
  scale: z
    .tuple([z.number().positive(), z.number().max(1)])
    .refine(([least, most]) => least <= most, 'must be 0 < least ≤ most ≤ 1')
    .default([...defaultScale]),
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
  /** Objects are whole cells wide and stand at whole cells, `cells` of them to the picture's side; anywhere by default. */
  lattice: z.strictObject({ cells: z.int().min(4), sides: z.array(z.int().positive()).optional() }).optional(),
})
export type ScenesConfig = z.infer<typeof scenesSchema>

/** The scenes of a split. */
export const scenesOf = (
  { styles, nouns, sizes, lattice }: ScenesConfig,
  { size, seed, split = 'train' }: { size: number; seed: number; split?: SceneSplit },
) =>
  sceneDataset({
    ...{ size, styles, seed, split },
    ...(nouns && split !== 'icons' && { nouns: sceneNouns(nouns) }),
    ...(sizes && { sizes }),
    ...(lattice && { lattice }),
  })

/** Which pictures to learn. */
export const dataSchema = z.discriminatedUnion('kind', [
  stickersSchema,
  z.strictObject({ kind: z.literal('folder'), train_data_dir: z.string(), random_flip: z.boolean().default(true) }),
])
export type DataConfig = z.infer<typeof dataSchema>

/** The stickers that a recipe names. */
export const stickersOf = (
  { styles, categories, scale }: StickersConfig,
  rest: Pick<StickerOptions, 'size' | 'split' | 'seed'>,
): Promise<StickerDataset> => stickerDataset({ styles, categories, scale, ...rest })

/** The pictures to train on. */
export function trainingData(data: DataConfig, { size, seed }: { size: number; seed: number }): Promise<Dataset> {
  if (data.kind === 'stickers') return stickersOf(data, { size, seed })
  return imageFolder({ dir: data.train_data_dir, size, flip: data.random_flip, seed })
}
