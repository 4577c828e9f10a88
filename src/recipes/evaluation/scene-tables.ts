import type { PartEvaluation, TextToImageEvaluation } from './evaluate-scenes.ts'
import { facts, type Rate } from './scoring.ts'
import { percent, short, type Table, withError } from './tables.ts'

/** `87.2 % (84.0–89.9)`; a dash where nothing was asked. */
export const interval = ({ share, low, high, asked }: Rate): string =>
  asked === 0 ? '–' : `${percent(share)} (${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)})`

/** How often pictures show what captions say. */
export const scoreTable = ({ captions, scores }: TextToImageEvaluation): Table => [
  [`${captions} captions`, ...facts],
  ...scores.map(({ name, rates }) => [name, ...facts.map((fact) => interval(rates[fact]))]),
]

export const guidanceTable = ({ sweep }: TextToImageEvaluation): Table => [
  ['guidance', ...facts, 'diversity'],
  ...sweep.map(({ guidance, rates, diversity }) => [
    String(guidance),
    ...facts.map((fact) => interval(rates[fact])),
    short(diversity),
  ]),
]

/** Squared Fréchet distances to real pictures. */
export const frechetTable = ({ captions, distances }: TextToImageEvaluation): Table => [
  [`${captions} pictures each`, 'to real pictures'],
  ...distances.map(({ name, distance, error }) => [name, withError(distance, error)]),
]

/** What a part does, by the split of the scenes. */
export const partTable = ({ num, splits, rows }: PartEvaluation): Table => [
  [`${num} scenes each`, ...splits.map((split) => `held-out ${split}`)],
  ...rows.map(({ name, unit, values }) => [
    name,
    ...values.map((value) => (typeof value === 'number' ? `${value.toFixed(2)}${unit && ` ${unit}`}` : interval(value))),
  ]),
]
