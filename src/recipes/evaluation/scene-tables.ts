import type { Rate } from './bootstrap.ts'
import type { PartEvaluation, TextToImageEvaluation } from './evaluate-scenes.ts'
import { facts } from './scoring.ts'
import { percent, short, type Table, withError } from './tables.ts'
import type { SceneScores } from './text-to-image.ts'

/** `87.2 % (84.0–89.9)`; a dash where nothing was asked. */
export const interval = ({ share, low, high, asked }: Rate): string =>
  asked === 0 ? '–' : `${percent(share)} (${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)})`

/** A row a fact, a column a set of pictures. */
const factTable = (head: string, sets: readonly SceneScores[]): string[][] => [
  [head, ...sets.map(({ name }) => name)],
  ...facts.map((fact) => [fact, ...sets.map(({ rates }) => interval(rates[fact]))]),
]

/** How often pictures show what test captions say. */
export const scoreTable = ({ captions, scores }: TextToImageEvaluation): Table => factTable(`${captions} test captions`, scores)

/** The same of pairs of objects that training never shows together. */
export const pairTable = ({ pairCaptions, pairs, pairScores }: TextToImageEvaluation): Table =>
  factTable(`${pairCaptions} captions of ${pairs} pairs never seen together`, pairScores)

/** What guidance does. */
export const guidanceTable = ({ validation, sweep }: TextToImageEvaluation): Table => [
  ...factTable(
    `${validation} validation captions`,
    sweep.map(({ guidance, rates }) => ({ name: `guidance ${guidance}`, rates })),
  ),
  ['diversity', ...sweep.map(({ diversity }) => short(diversity))],
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

/** What captions tell of image tokens. */
export function tokenTable({ tokens }: TextToImageEvaluation): Table {
  if (!tokens) return []
  const { captions, told, shuffled, untold, uniform, frequencies } = tokens
  return [
    [`bits of an image token, ${captions} test captions`, '± standard error'],
    ['after its own caption', withError(told.mean, told.error)],
    ["after another picture's caption", withError(shuffled.mean, shuffled.error)],
    ['after no caption', withError(untold.mean, untold.error)],
    ["by the codes' frequencies alone", short(frequencies)],
    ['by their number alone', short(uniform)],
  ]
}

/** What choosing by CLIP does. */
export function candidateTable({ candidates }: TextToImageEvaluation): Table {
  if (!candidates) return []
  return [
    [`the best of so many by ${candidates.ranker}, ${candidates.captions} test captions`, 'exact', 'object'],
    ...candidates.points.map(({ candidates: n, exact, object }) => [String(n), interval(exact), interval(object)]),
  ]
}
