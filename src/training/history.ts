import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { readJson, writeJson } from '../checkpoints/json.ts'

/** Files of a run's folder. */
export const [recipeFile, historyFile] = ['recipe.json', 'history.json']

/** Steps that one recipe made: those after `from`, up to the next stretch's. */
export interface Stretch {
  readonly from: number
  readonly recipe: Readonly<Record<string, unknown>>
}

/** The stretches of a run, the earliest first; of a run that keeps no history, one of the recipe in its folder. */
export function readHistory(dir: string): readonly Stretch[] {
  const [history, recipe] = [join(dir, historyFile), join(dir, recipeFile)]
  if (existsSync(history)) return readJson(history).stretches as readonly Stretch[]
  return existsSync(recipe) ? [{ from: 0, recipe: readJson(recipe) }] : []
}

/** Writes that a run goes on after step `from`, by this recipe; where the last stretch had the same, it goes on. */
export function noteStretch(dir: string, { from, recipe }: Stretch): void {
  const before = readHistory(dir).filter((stretch) => stretch.from < from)
  const asRead = JSON.parse(JSON.stringify(recipe))
  const same = isDeepStrictEqual(before.at(-1)?.recipe, asRead)
  writeJson(join(dir, historyFile), { stretches: same ? before : [...before, { from, recipe: asRead }] })
  writeJson(join(dir, recipeFile), asRead)
}
