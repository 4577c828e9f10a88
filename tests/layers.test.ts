import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { expect, test } from 'vitest'

/** The house (DESIGN.md): a folder of src/ imports from those before it in this list, never from those after it. */
const layers = [
  'core',
  'runtime',
  'nn',
  'diffusion',
  'models',
  'checkpoints',
  'text',
  'images',
  'data',
  'training',
  'pipelines',
  'recipes',
  'jobs',
  'server',
  'cli',
]

/** What may be reached from `langevin/core` and `langevin/diffusion`: nothing native, no engine. */
const light = { folders: ['core', 'diffusion'], packages: ['protobufjs', 'zod'] }

const src = resolve(import.meta.dirname, '../src')

interface Import {
  readonly specifier: string
  /** False for `import type`, which is erased. */
  readonly value: boolean
}

function importsOf(source: string): Import[] {
  const statement = /^\s*(?:import|export)\s+(type\s)?(?:[\w$*{},\s]*?\sfrom\s*)?['"]([^'"]+)['"]/gm
  const dynamic = /\bimport\(\s*['"]([^'"]+)['"]/g
  return [
    ...[...source.matchAll(statement)].map(([, type, specifier]) => ({ specifier: specifier!, value: type === undefined })),
    ...[...source.matchAll(dynamic)].map(([, specifier]) => ({ specifier: specifier!, value: true })),
  ]
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => join(src, file))
const imports = new Map(files.map((file) => [file, importsOf(readFileSync(file, 'utf8'))]))

const layerOf = (file: string) => layers.indexOf(relative(src, file).split(sep)[0]!)
const isTest = (file: string) => file.endsWith('.test.ts')

/** Imports of a file that point up, as readable lines. */
function upward(file: string, found: readonly Import[]): string[] {
  const targets = found
    .filter(({ specifier }) => specifier.startsWith('.'))
    .map(({ specifier }) => resolve(dirname(file), specifier))
  return targets
    .filter((target) => target.startsWith(src + sep) && layerOf(target) > layerOf(file))
    .map((target) => `${relative(src, file)} imports ${relative(src, target)}`)
}

test('the reader of imports sees every form', () => {
  const source = [
    "import { a } from './a.ts'",
    "import type { B } from './b.ts'",
    "import './c.ts'",
    "export * from './d.ts'",
    "export type { E } from './e.ts'",
    'import {',
    '  f,',
    "} from './f.ts'",
    'export type X = number',
    "const g = await import('./g.ts')",
    " * import { h } from './h.ts'",
  ].join('\n')
  expect(importsOf(source).map(({ specifier, value }) => `${specifier} ${value}`)).toEqual([
    './a.ts true',
    './b.ts false',
    './c.ts true',
    './d.ts true',
    './e.ts false',
    './f.ts true',
    './g.ts true',
  ])
  expect(upward(join(src, 'core/x.ts'), importsOf("import { a } from '../runtime/y.ts'"))).toHaveLength(1)
  expect(upward(join(src, 'runtime/y.ts'), importsOf("import { a } from '../core/x.ts'"))).toHaveLength(0)
})

test('every folder of src/ has its place', () => {
  const folders = readdirSync(src, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  expect(folders.map(({ name }) => name).filter((name) => !layers.includes(name))).toEqual([])
})

test('imports point down, but for tests, which may run what they test on the engine', () => {
  expect(files.filter((file) => layerOf(file) >= 0 && !isTest(file)).flatMap((file) => upward(file, imports.get(file)!))).toEqual(
    [],
  )
})

test.each(light.folders)('%s reaches no engine and nothing native', (folder) => {
  const reached = new Set<string>()
  const packages = new Set<string>()
  const visit = (file: string, from: string) => {
    if (reached.has(file)) return
    reached.add(file)
    for (const { specifier, value } of imports.get(file) ?? []) {
      if (!value) continue
      if (specifier.startsWith('.')) visit(resolve(dirname(file), specifier), file)
      else if (!specifier.startsWith('node:') && !light.packages.some((name) => `${specifier}/`.startsWith(`${name}/`)))
        packages.add(`${specifier}, by ${relative(src, file)} (imported by ${relative(src, from)})`)
    }
  }
  const entries = files.filter((file) => relative(src, file).startsWith(folder + sep) && !isTest(file))
  for (const entry of entries) visit(entry, entry)
  expect([...packages]).toEqual([])
})
