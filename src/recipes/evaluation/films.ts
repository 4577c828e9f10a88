import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readJson } from '../../checkpoints/json.ts'
import type { FilmSplit } from '../../data/index.ts'
import { loadPipeline, type Pipeline } from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { recipeFile } from '../../training/history.ts'
import { filmsOf, filmsSchema } from '../tasks/video/fields.ts'
import { videoFlowType } from '../tasks/video/job.ts'
import { bootstrapRates, type Rate } from './bootstrap.ts'
import { MOST_FILMS, SEED } from './film-limits.ts'
import { type FilmFact, filmFacts, judgeFilm, trackFilm } from './film-tracking.ts'
import type { EvaluateContext, EvaluateOptions } from './options.ts'
import { percent, type Table } from './tables.ts'

/** Of them those that are also made as pictures, each by itself. */
const MOST_APART = 20
const splits: readonly FilmSplit[] = ['train', 'combinations', 'motions']

/** How often films show what their captions say, of one way to make them. */
export interface FilmScore {
  /** `model`; `apart`: its pictures, each made by itself; `real`: the data's own films, which tells what the tracker misses. */
  readonly of: 'model' | 'apart' | 'real'
  readonly split: FilmSplit
  readonly films: number
  readonly rates: Readonly<Record<FilmFact, Rate>>
}

export interface FilmsEvaluation {
  readonly model: string
  readonly num: number
  readonly steps: number
  readonly guidance: number
  readonly seed: number
  readonly scores: readonly FilmScore[]
}

/** Makes films from captions of motion, trained and held out, and counts by a tracker how often they show it. */
export async function evaluateFilms(
  folder: string,
  { num: asked, steps = 20, guidance = 4, seed }: Pick<EvaluateOptions, 'num' | 'steps' | 'guidance' | 'seed'>,
  { name, engine = {}, signal, onStep }: EvaluateContext,
): Promise<FilmsEvaluation> {
  const recipe = existsSync(join(folder, recipeFile)) ? readJson(join(folder, recipeFile)) : {}
  const config = filmsSchema.parse(recipe.recipe === videoFlowType.name ? (recipe.data ?? {}) : {})
  const num = Math.min(asked, MOST_FILMS)
  const pipeline = await loadPipeline(folder, engine)
  const scores: FilmScore[] = []
  try {
    const { Frames, FPS, Size } = pipeline.plan({ prompt: 'a fox moves left' }).settings
    const [width, height] = String(Size).split('x').map(Number) as [number, number]
    const shape = { width, height, frames: Number(Frames), rate: Number(FPS) }
    for (const split of splits) {
      const data = await filmsOf(config, { seed: SEED, split })
      const judged: Record<FilmScore['of'], Record<FilmFact, { right: number; asked: number }>[]> = {
        model: [],
        apart: [],
        real: [],
      }
      for (let at = 0; at < num; at++) {
        onStep?.({ stage: `films of ${split}`, done: at, total: num })
        const film = data.filmAt(at, shape)
        const prompt = data.captionAt(at)
        const judge = (frames: NdArray<'f32'>) => judgeFilm(trackFilm(frames), film.motion, shape)
        const given = { prompt, steps, guidance, ...(signal && { signal }) }
        judged.real.push(judge(data.render(film, shape)))
        const made = await framesOf(pipeline, { ...given, seed: seed + at })
        judged.model.push(judge(made.reshape(made.shape.slice(1)) as NdArray<'f32'>))
        if (at >= Math.min(num, MOST_APART)) continue
        const apart = await framesOf(pipeline, { ...given, seed: seed + at * shape.frames, frames: 1, num: shape.frames })
        judged.apart.push(judge(apart.reshape([apart.shape[0] as number, ...apart.shape.slice(2)]) as NdArray<'f32'>))
      }
      for (const way of ['model', 'apart', 'real'] as const)
        scores.push({
          ...{ of: way, split, films: judged[way].length },
          rates: bootstrapRates(filmFacts, judged[way], new Generator(0)),
        })
    }
  } finally {
    await pipeline.release()
  }
  return { model: name, num, steps, guidance, seed, scores }
}

async function framesOf(pipeline: Pipeline, options: Parameters<Pipeline['generate']>[0]): Promise<NdArray<'f32'>> {
  const run = pipeline.generate(options)
  let next = await run.next()
  while (!next.done) next = await run.next()
  if (next.value.type !== 'frames') throw new Error(`a ${pipeline.className} makes no films`)
  return next.value.frames
}

const words: Readonly<Record<FilmScore['of'], string>> = {
  model: 'the model',
  apart: 'its pictures, each by itself',
  real: 'real films, by the same tracker',
}

/** A row for each way to make films of each split; shares with their 95 % intervals. */
export function filmTable({ scores }: FilmsEvaluation): Table {
  const cell = ({ share, low, high, asked }: Rate) =>
    asked === 0 ? '–' : `${percent(share)} (${percent(low)} to ${percent(high)})`
  return [
    ['films', 'of', 'there in every picture', 'direction', 'speed', 'appears, grows, shrinks, stands'],
    ...scores.map(({ of: way, split, films, rates }) => [
      `${films} of ${split}`,
      words[way],
      ...filmFacts.map((fact) => cell(rates[fact])),
    ]),
  ]
}
