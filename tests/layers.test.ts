import { spawnSync } from 'node:child_process'
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
  'video',
  'data',
  'training',
  'pipelines',
  'web',
  'recipes',
  'jobs',
  'server',
  'ai-sdk',
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

/** Folders that run in a browser too: `runtime` but for its `node/`, and its public face for Node. */
const portable = ['core', 'nn', 'diffusion', 'models', 'runtime']
const isPortable = (file: string) => {
  const path = relative(src, file).split(sep)
  return portable.includes(path[0]!) && path[1] !== 'node' && path.join('/') !== 'runtime/index.ts' && !isTest(file)
}

/** A source without its comments and strings, roughly: what names Node's globals there only speaks of them. */
const codeOf = (source: string) => source.replace(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/gm, "''")

const nodeOnly =
  /(?<![.\w])(?:process\.(?:env|platform|arch|cwd|on|once|exit|argv|std|pid|version|kill|emit|memory|available)|(?:Buffer|require|__dirname|setImmediate)(?=[.([]))|import\.meta\.(?:dirname|filename|resolve)/

test('what a browser runs too imports nothing of Node but the backend, which is loaded at first use', () => {
  const found = files.filter(isPortable).flatMap((file) => {
    const path = relative(src, file)
    const uses = imports.get(file)!.filter(({ specifier, value }) => value && needsNode(file, specifier))
    return [
      ...uses.map(({ specifier }) => `${path} imports ${specifier}`),
      ...(nodeOnly.exec(codeOf(readFileSync(file, 'utf8'))) ?? []).map((name) => `${path} uses ${name}`),
    ]
  })
  // The first asks whether there is a `process`, to say which Node is too old.
  expect(found).toEqual([
    'core/platform.ts uses process.version',
    'runtime/current-backend.ts imports ./node/backend.ts',
    'runtime/system.ts imports ./node/system.ts',
  ])
})

function needsNode(file: string, specifier: string): boolean {
  if (!specifier.startsWith('.'))
    return specifier.startsWith('node:') || specifier === 'onnxruntime-node' || specifier === 'sharp'
  const target = resolve(dirname(file), specifier)
  const path = relative(src, target)
  return path.startsWith(join('runtime', 'node') + sep) || path === join('runtime', 'index.ts')
}

test('the reader of code sees what only Node has', () => {
  for (const source of ['process.cwd()', 'a(process.env.X)', 'x = Buffer.from(y)', 'import.meta.dirname'])
    expect(codeOf(source)).toMatch(nodeOnly)
  for (const source of [
    "'process.cwd()'",
    '// Buffer.from',
    '/* require(x) */',
    'a.process.b',
    'processes.x',
    'process.drift(x)',
  ])
    expect(codeOf(source)).not.toMatch(nodeOnly)
})

test('no code is compiled from strings, which a Content-Security-Policy forbids', () => {
  const script = `
    const { input } = await import('${src}/core/index.ts')
    const { lower } = await import('${src}/core/onnx/lower.ts')
    const { encodeModel } = await import('${src}/core/onnx/proto.ts')
    for (const entry of ['core', 'nn', 'diffusion', 'models']) await import(\`${src}/\${entry}/index.ts\`)
    const { model } = lower({ outputs: { y: input('x', [2, 3]).silu().sum() } }, { target: 'portable' })
    console.log(encodeModel(model).length)`
  const run = spawnSync(process.execPath, ['--disallow-code-generation-from-strings', '--input-type=module', '-e', script])
  expect(run.stderr.toString()).toBe('')
  expect(Number(run.stdout.toString())).toBeGreaterThan(100)
})
