import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readJson } from '../checkpoints/json.ts'
import { historyFile, noteStretch, readHistory, recipeFile } from './history.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-history-'))
afterAll(() => rmSync(desk, { recursive: true }))
const folder = () => mkdtempSync(join(desk, 'run-'))
const [slow, fast] = [
  { recipe: 'ddpm', training: { learning_rate: 1e-4, lr_decay_steps: undefined } },
  { recipe: 'ddpm', training: { learning_rate: 1e-3 } },
]
const told = (dir: string) =>
  readHistory(dir).map(({ from, recipe }) => [from, (recipe.training as typeof fast.training).learning_rate])

test('a run is told by stretches of one recipe each', () => {
  const dir = folder()
  expect(readHistory(dir)).toEqual([])
  noteStretch(dir, { from: 0, recipe: slow })
  noteStretch(dir, { from: 10, recipe: slow })
  expect(told(dir)).toEqual([[0, 1e-4]])
  noteStretch(dir, { from: 20, recipe: fast })
  expect(told(dir)).toEqual([
    [0, 1e-4],
    [20, 1e-3],
  ])
  expect(readJson(join(dir, recipeFile))).toEqual(fast)
})

test('what a run takes back is not told: it went on from an earlier step, or began again', () => {
  const dir = folder()
  for (const [from, recipe] of [
    [0, slow],
    [20, fast],
    [15, slow],
    [15, fast],
  ] as const)
    noteStretch(dir, { from, recipe })
  expect(told(dir)).toEqual([
    [0, 1e-4],
    [15, 1e-3],
  ])
  noteStretch(dir, { from: 0, recipe: fast })
  expect(told(dir)).toEqual([[0, 1e-3]])
})

test('a run that has kept no history so far had the recipe in its folder', () => {
  const dir = folder()
  writeFileSync(join(dir, recipeFile), JSON.stringify(slow))
  expect(told(dir)).toEqual([[0, 1e-4]])
  noteStretch(dir, { from: 7, recipe: fast })
  expect(told(dir)).toEqual([
    [0, 1e-4],
    [7, 1e-3],
  ])
  writeFileSync(join(dir, historyFile), '{')
  expect(() => readHistory(dir)).toThrow(`${historyFile}: not JSON`)
})
