import { isDeepStrictEqual } from 'node:util'
import type { Params } from '../nn/params.ts'
import type { TrainingCheckpoint } from './checkpoint.ts'
import { TrainingError } from './errors.ts'
import type { Optimizer } from './optimizer.ts'
import { stateShapes } from './state.ts'

type Fields = Readonly<Record<string, unknown>>

/**
 * Where two records differ, each place as `data.size 32, this run 64`. A field that the saved one lacks was not written by its version,
 * and is passed over unless the records are `complete`.
 */
export function differences(saved: Fields, now: Fields, { complete = false } = {}, place = ''): string[] {
  const names = complete ? new Set([...Object.keys(saved), ...Object.keys(now)]) : Object.keys(saved)
  return [...names].flatMap((name) => {
    const [before, after] = [saved[name], now[name]]
    if (isDeepStrictEqual(before, after)) return []
    if (isFields(before) && isFields(after)) return differences(before, after, { complete }, `${place}${name}.`)
    return [`${place}${name} ${shown(before)}, this run ${shown(after)}`]
  })
}

/** How a checkpoint's tensors differ from those that this network, optimizer and average keep: the first few. */
export function stateDifferences(
  { values }: TrainingCheckpoint,
  params: Params,
  optimizer: Optimizer,
  ema: boolean,
): readonly string[] {
  const wanted = stateShapes(params, optimizer, ema)
  const wrong: string[] = []
  for (const [name, shape] of wanted) {
    const [key] = name.split('@') as [string]
    if (key !== name && wrong.some((one) => one.startsWith(`${key} `))) continue
    const found = values.get(name)?.shape
    if (!isDeepStrictEqual(found && [...found], [...shape]))
      wrong.push(`${name} ${found ? `[${found}]` : 'missing'}, this run [${shape}]`)
  }
  for (const name of values.keys()) if (!name.includes('@') && !wanted.has(name)) wrong.push(`${name}, which this run has not`)
  return wrong.length > 5 ? [...wrong.slice(0, 5), `and ${wrong.length - 5} more tensors`] : wrong
}

/** @throws TrainingError that lists all differences */
export function refuseOtherRun(place: string, found: readonly string[]): void {
  if (found.length === 0) return
  throw new TrainingError(
    `${place} has ${found.join('; ')}. Give the same, or another folder; a network goes on under other settings by fine-tuning from its model`,
  )
}

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)

function shown(value: unknown): string {
  if (value === undefined) return 'none'
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
