import type { ControlEvaluation } from './control.ts'
import { interval } from './scene-tables.ts'
import { type Table, withError } from './tables.ts'

const shown = ['placed', 'object', 'precision', 'exact', 'background'] as const

/** How far pictures agree with their maps and captions: a row a set of pictures. */
export const controlTable = ({ maps, condition, scores }: ControlEvaluation): Table => [
  [`${maps} maps (${condition})`, 'overlap', ...shown],
  ...scores.map(({ name, overlap, rates }) => [
    name,
    withError(overlap.mean, overlap.error),
    ...shown.map((fact) => interval(rates[fact])),
  ]),
]
