import { z } from 'zod'
import { ArgumentError } from '../../../core/errors.ts'
import { type FilmSplit, filmDataset, sceneNouns, styles } from '../../../data/index.ts'

/** Films of moving stickers in these styles. */
export const filmsSchema = z.strictObject({
  kind: z.literal('films').default('films'),
  styles: z
    .array(z.enum(styles))
    .min(1)
    .default([...styles]),
  /** What the films show, by the first words for it; all of `sceneNouns()` by default. */
  nouns: z.array(z.string()).min(2).optional(),
})
export type FilmsConfig = z.infer<typeof filmsSchema>

const pixels = z.int().positive()

/** The size and length of a recipe's films. */
export const shapeFields = {
  width: pixels.default(64),
  height: pixels.default(64),
  /** One, and so many more as are whole latent frames. */
  frames: z.int().positive().default(17),
  /** Frames a second. */
  rate: z.number().positive().default(8),
}

/** The films of a recipe. @throws ArgumentError for a noun that there is none of */
export function filmsOf(
  { styles: shown, nouns: words }: FilmsConfig,
  { seed, split = 'train' }: { seed: number; split?: FilmSplit },
) {
  const all = sceneNouns()
  const nouns = words?.map((word) => {
    const found = all.find((noun) => noun.words[0] === word)
    if (!found) throw new ArgumentError(`nouns: no scene shows "${word}"`)
    return found
  })
  return filmDataset({ styles: shown, seed, split, ...(nouns && { nouns }) })
}
