import { z } from 'zod'
import { categories, type Dataset, imageFolder, stickerDataset, styles } from '../data/index.ts'

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
})
export type StickersConfig = z.infer<typeof stickersSchema>

/** Which pictures to learn. */
export const dataSchema = z.discriminatedUnion('kind', [
  stickersSchema,
  z.strictObject({ kind: z.literal('folder'), train_data_dir: z.string(), random_flip: z.boolean().default(true) }),
])
export type DataConfig = z.infer<typeof dataSchema>

/** The pictures to train on. */
export function trainingData(data: DataConfig, { size, seed }: { size: number; seed: number }): Promise<Dataset> {
  if (data.kind === 'stickers') return stickerDataset({ size, styles: data.styles, categories: data.categories, seed })
  return imageFolder({ dir: data.train_data_dir, size, flip: data.random_flip, seed })
}
