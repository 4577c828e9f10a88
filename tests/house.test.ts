import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const src = resolve(import.meta.dirname, '../src')
const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => join(src, file))

/** The files that a file imports, types included: what a reader has to know. */
function importsOf(file: string): string[] {
  const statement =
    /^\s*(?:import|export)\s+(?:type\s)?(?:[\w$*{},\s]*?\sfrom\s*)?['"](\.[^'"]+)['"]|\bimport\(\s*['"](\.[^'"]+)['"]/gm
  const source = readFileSync(file, 'utf8')
  return [...source.matchAll(statement)].map(([, still, dynamic]) => resolve(dirname(file), (still ?? dynamic) as string))
}

/** Sets of files that reach one another (Tarjan 1972), each with more than one. */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const order = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const found: string[][] = []
  const visit = (file: string) => {
    order.set(file, order.size)
    low.set(file, order.get(file) as number)
    stack.push(file)
    for (const next of graph.get(file) ?? []) {
      if (!order.has(next)) visit(next)
      if (stack.includes(next)) low.set(file, Math.min(low.get(file) as number, low.get(next) as number))
    }
    if (low.get(file) !== order.get(file)) return
    const circle = stack.splice(stack.indexOf(file))
    if (circle.length > 1) found.push(circle)
  }
  for (const file of graph.keys()) if (!order.has(file)) visit(file)
  return found
}

test('circles are found', () => {
  const graph = new Map([
    ['a', ['b']],
    ['b', ['c']],
    ['c', ['b', 'd']],
    ['d', []],
  ])
  expect(circles(graph)).toEqual([['b', 'c']])
})

test('no files of src/ import each other in a circle', () => {
  const found = circles(new Map(files.map((file) => [file, importsOf(file)])))
  expect(found.map((circle) => circle.map((file) => relative(src, file)).sort())).toEqual([])
})

test('no file of src/ is longer than 300 lines', () => {
  const lines = (file: string) => readFileSync(file, 'utf8').split('\n').length - 1
  const over = files.filter((file) => lines(file) > 300).map((file) => relative(src, file))
  expect(over.sort()).toEqual([])
})
