import type { ClassifierEvaluation, DdpmEvaluation } from './evaluate.ts'
import type { Estimate, Likelihood, SetLikelihood } from './likelihood.ts'
import type { Distance } from './quality.ts'

/** Rows of cells, the first of them the heads of the columns. */
export type Table = readonly (readonly string[])[]

/** Three digits, thousands set apart. */
export const short = (value: number): string => Number(value.toPrecision(3)).toLocaleString('en-US', { maximumFractionDigits: 6 })
export const percent = (share: number | undefined): string => (share === undefined ? '–' : `${(100 * share).toFixed(1)} %`)
const whole = (count: number) => count.toLocaleString('en-US')

/** A value with its error, to the error's second digit. */
export function withError(value: number, error: number): string {
  const digits = error > 0 ? Math.max(0, 1 - Math.floor(Math.log10(error))) : 3
  const fixed = (value: number) => value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
  return `${fixed(value)} ± ${fixed(error)}`
}
const measured = ({ distance, error }: Distance) => withError(distance, error)
const estimated = ({ mean, error }: Estimate) => withError(mean, error)

/** Distances of sampled and other pictures to real ones, and how often the classifier is certain of an icon. */
export function distanceTable({ num, icons, sets }: DdpmEvaluation): Table {
  const heads = [
    `${whole(num)} pictures each`,
    `to ${icons.training} training icons`,
    `to ${icons.heldOut} held-out icons`,
    'an icon is named',
  ]
  const rows = sets.map(({ name, training, heldOut, named }) => [name, measured(training), measured(heldOut), percent(named)])
  return [heads, ...rows]
}

/** Distances to the nearest of the pictures that training drew. */
export function nearestTable({ nearest, model }: DdpmEvaluation): Table {
  return [
    [
      '',
      `mean distance to the nearest of ${whole(nearest.gallery)}${nearest.drawn === undefined ? '' : ` of the ${whole(nearest.drawn)} pictures that training drew`}`,
    ],
    [model, short(nearest.samples)],
    ['other pictures of the training icons', short(nearest.training)],
    ['pictures of held-out icons', short(nearest.heldOut)],
  ]
}

/** Bits per dimension of held-out pictures and of the training icons. */
export function likelihoodTable(model: string, { num, heldOut, training }: Likelihood): Table {
  const row = (name: string, key: keyof SetLikelihood) => [name, ...[training, heldOut].map((set) => estimated(set[key]))]
  return [
    [`bits per dimension, ${whole(num)} pictures each`, 'training icons', 'held-out icons'],
    row(`${model}, probability-flow ODE`, 'flow'),
    row(`${model}, variational bound (at most)`, 'bound'),
    row('a Gaussian fitted to every pixel', 'pixelwise'),
  ]
}

/** Right answers by head and split. */
export function accuracyTable({ num, accuracy }: ClassifierEvaluation): Table {
  return [
    [`${whole(num)} pictures each`, 'training icons', 'on held-out backgrounds', 'held-out icons'],
    ...Object.entries(accuracy).map(([head, { train, pairs, test }]) => [head, percent(train), percent(pairs), percent(test)]),
  ]
}

/** Columns in line, for a terminal. */
export function inColumns(table: Table): string {
  const widths = table[0]?.map((_, i) => Math.max(...table.map((row) => row[i]?.length ?? 0))) ?? []
  return table
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** `words` says that the columns hold words, not numbers. */
export function inMarkdown([heads = [], ...rows]: Table, { words = false } = {}): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map((_, i) => (i === 0 || words ? '---' : '---:'))), ...rows.map(line)].join('\n')
}
