import { join } from 'node:path'
import { loadConfig, matchWeights, openWeights } from '../../checkpoints/index.ts'
import { readJson } from '../../checkpoints/json.ts'
import type { FilmSplit } from '../../data/index.ts'
import { videoVae, videoVaeConfig } from '../../models/video-vae/index.ts'
import { Params } from '../../nn/params.ts'
import { videoCoder } from '../../pipelines/index.ts'
import { recipeFile } from '../../training/history.ts'
import { meanPsnr } from '../tasks/autoencoder/autoencoder.ts'
import { filmAt, flatFilm, videoVaeRecipe } from '../tasks/video/autoencoder.ts'
import { filmsOf } from '../tasks/video/fields.ts'
import { MOST_FILMS, SEED } from './film-limits.ts'
import type { EvaluateContext, EvaluateOptions } from './options.ts'
import { type Table, withError } from './tables.ts'

/** Peak signal-to-noise ratio in decibels, a mean over films with its standard error. */
export interface Decibels {
  readonly mean: number
  readonly error: number
}

export interface FilmCodingEvaluation {
  readonly model: string
  readonly films: number
  readonly scores: readonly { readonly split: FilmSplit; readonly whole: Decibels; readonly picture: Decibels }[]
}

/** How well an autoencoder of films gives back films, and their first pictures by themselves. */
export async function evaluateFilmCoding(
  folder: string,
  { num }: Pick<EvaluateOptions, 'num'>,
  { name, engine = {}, onStep }: EvaluateContext,
): Promise<FilmCodingEvaluation> {
  const { recipe: _, training: __, ...fields } = readJson(join(folder, recipeFile))
  const recipe = videoVaeRecipe.parse(fields)
  const config = videoVaeConfig(loadConfig(folder), join(folder, 'config.json'))
  const p = new Params()
  videoVae(p, config)
  const weights = matchWeights(p.tensors, openWeights(folder), { place: folder })
  const coder = videoCoder({ className: 'CausalVideoVAE', config, weights }, engine)
  const films = Math.min(num, MOST_FILMS)
  const scores: FilmCodingEvaluation['scores'][number][] = []
  try {
    for (const split of ['train', 'combinations', 'motions'] as const) {
      const data = await filmsOf(recipe.data, { seed: SEED, split })
      const found: Record<'whole' | 'picture', number[]> = { whole: [], picture: [] }
      for (let at = 0; at < films; at++) {
        onStep?.({ stage: `films of ${split}`, done: at, total: films })
        const film = filmAt(data, at, recipe)
        for (const [key, one] of [
          ['whole', film],
          ['picture', film.slice(2, 0, 1)],
        ] as const)
          found[key].push(meanPsnr(flatFilm(one), flatFilm(await coder.decode(await coder.encodeMean(one)))))
      }
      scores.push({ split, whole: meanOf(found.whole), picture: meanOf(found.picture) })
    }
  } finally {
    await coder.release()
  }
  return { model: name, films, scores }
}

function meanOf(values: readonly number[]): Decibels {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length - 1)
  return { mean, error: Math.sqrt(variance / values.length) }
}

export const filmCodingTable = ({ films, scores }: FilmCodingEvaluation): Table => [
  [`${films} films each`, 'PSNR, dB', 'of first pictures as films of one'],
  ...scores.map(({ split, whole, picture }) => [
    split,
    withError(whole.mean, whole.error),
    withError(picture.mean, picture.error),
  ]),
]
