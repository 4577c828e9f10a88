import type { StageEvaluation } from './later-stage.ts'
import { interval } from './scene-tables.ts'
import { facts } from './scoring.ts'
import { short, type Table, withError } from './tables.ts'

/** Real pictures, a first stage's and the enlarged ones, a row a fact. */
export const stageTable = ({ captions, real, small, large }: StageEvaluation): Table => [
  [`${captions} test captions`, 'real pictures', small.name, large.name],
  ...facts.map((fact) => [fact, ...[real, small, large].map(({ rates }) => interval(rates[fact]))]),
  ['squared Fréchet distance', ...[real, small, large].map(({ frechet }) => withError(frechet.distance, frechet.error))],
  ['pixels', '64×64', `${small.side}×${small.side}`, `${large.side}×${large.side}`],
  ['seconds a picture', '–', short(small.seconds), short(large.seconds)],
]
