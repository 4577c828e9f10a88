import { readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'
import * as node from '../../src/runtime/node/system.ts'
import * as web from '../../src/runtime/web/system.ts'

const root = resolve(import.meta.dirname, '../..')
const { browser } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { browser: Record<string, string> }

/** Packages that a browser runs: plain JavaScript without Node's modules. */
const packages = [
  '@huggingface/jinja',
  '@huggingface/tokenizers',
  '@noble/hashes',
  'entities',
  'onnxruntime-common',
  'onnxruntime-web',
  'protobufjs',
  'zod',
]

/** All that a bundler for browsers takes along from an entry, and the packages that it meets. */
function reached(entry: string) {
  const files = new Map<string, string>()
  const foreign = new Set<string>()
  const visit = (file: string, from: string) => {
    const path = `./${relative(root, file)}`
    const chosen = browser[path] ?? path
    if (files.has(chosen)) return
    files.set(chosen, from)
    const source = readFileSync(join(root, chosen), 'utf8')
    const statements =
      /^\s*(?:import|export)\s+(?!type\s)(?:[\w$*{},\s]*?\sfrom\s*)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm
    for (const [, named, dynamic] of source.matchAll(statements)) {
      const specifier = (named ?? dynamic) as string
      if (specifier.startsWith('.')) visit(resolve(root, dirname(chosen), specifier), chosen)
      else if (!packages.some((name) => specifier === name || specifier.startsWith(`${name}/`)))
        foreign.add(`${specifier}, by ${chosen}`)
    }
  }
  visit(join(root, entry), '')
  return { files: [...files.keys()], foreign: [...foreign] }
}

test.each(['src/web/index.ts', 'src/web/worker/index.ts'])('%s reaches nothing of Node', (entry) => {
  const { files, foreign } = reached(entry)
  expect(foreign).toEqual([])
  expect(files.filter((file) => file.includes('/runtime/node/'))).toEqual([])
})

test('the page’s side brings no engine and no network', () => {
  const { files } = reached('src/web/index.ts')
  expect(files.filter((file) => /\/(models|pipelines|checkpoints)\//.test(file))).toEqual([])
})

test('every file that a browser replaces is there, in the sources as in the package', () => {
  const pairs = Object.entries(browser)
  const inSources = pairs.filter(([from]) => from.startsWith('./src/'))
  for (const [from, to] of inSources) for (const file of [from, to]) expect(() => readFileSync(join(root, file))).not.toThrow()
  const built = inSources.map((pair) => pair.map((file) => file.replace('./src/', './dist/').replace(/\.ts$/, '.js')))
  expect(pairs.filter(([from]) => from.startsWith('./dist/'))).toEqual(built)
})

test('a browser’s files and paths have every name that Node’s have', () => {
  expect(Object.keys(node).filter((name) => !(name in web))).toEqual([])
})

test('errors come over under their own names, which bundlers shorten: each class is in the table', () => {
  const { files } = reached('src/web/worker/index.ts')
  const declared = files.flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/^export class (\w+Error) extends/gm)].map(([, name]) => name as string),
  )
  const table = readFileSync(join(root, 'src/web/worker/errors.ts'), 'utf8')
  expect(declared.length).toBeGreaterThan(15)
  expect(declared.filter((name) => !new RegExp(`[{,] ${name}[, ]`).test(table.slice(table.indexOf('const classes'))))).toEqual([])
})
