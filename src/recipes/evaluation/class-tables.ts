import { type ClassRates, type ClassToImageEvaluation, classFacts } from './class-to-image.ts'
import { interval } from './scene-tables.ts'
import { percent, type Table, withError } from './tables.ts'

const factTable = (head: string, sets: readonly { readonly name: string; readonly rates: ClassRates }[]): Table => [
  [head, ...sets.map(({ name }) => name)],
  ...classFacts.map((fact) => [fact, ...sets.map(({ rates }) => interval(rates[fact]))]),
]

/** How often pictures show what their classes say. */
export const classScoreTable = ({ each, classes, scores }: ClassToImageEvaluation): Table =>
  factTable(`${each} pictures of each of ${classes} classes`, scores)

/** What guidance does. */
export const classGuidanceTable = ({ validation, sweep }: ClassToImageEvaluation): Table =>
  factTable(
    `${validation} pictures of other seeds`,
    sweep.map(({ guidance, rates }) => ({ name: `guidance ${guidance}`, rates })),
  )

/** Classes with the shares of their pictures, the weakest first. */
export const byClassTable = ({ each, byClass }: ClassToImageEvaluation, count = byClass.length): Table => [
  [`${each} pictures each`, ...classFacts],
  ...byClass.slice(0, count).map((one) => [one.name, ...classFacts.map((fact) => percent(one[fact]))]),
]

/** Squared Fréchet distances to real pictures. */
export const classFrechetTable = ({ each, classes, distances }: ClassToImageEvaluation): Table => [
  [`${each * classes} pictures each`, 'to real pictures'],
  ...distances.map(({ name, distance, error }) => [name, withError(distance, error)]),
]
