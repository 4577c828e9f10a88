import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '..')
/** Inside the package, so that a snippet's `import 'langevin/…'` is the package itself, from its source. */
const snippets = join(root, '.cache/docs')

function filesIn(folder: string, ending: string): string[] {
  if (!existsSync(join(root, folder))) return []
  const all = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
  return all.filter((file) => file.endsWith(ending) && !file.includes('node_modules')).map((file) => join(folder, file))
}

/** The fenced `ts` blocks of a page, each with the line it starts at. */
function blocks(page: string): { line: number; code: string }[] {
  return [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => ({
    line: page.slice(0, match.index).split('\n').length + 1,
    code: match[1]!,
  }))
}

const pages = ['README.md', ...filesIn('docs', '.md')].filter((page) => existsSync(join(root, page)))
const programs = [
  ...pages.flatMap((page) =>
    blocks(readFileSync(join(root, page), 'utf8')).map(({ line, code }) => ({
      name: `${page}:${line}`,
      file: join(snippets, `${page.replaceAll(/\W+/g, '-')}-${line}.ts`),
      code,
    })),
  ),
  ...filesIn('examples', '.ts').map((file) => ({ name: file, file: join(root, file), code: undefined })),
]

/** Where the programs run: what they write lands here, and the bundled models are where a clone has them. */
let desk = ''

beforeAll(() => {
  rmSync(snippets, { recursive: true, force: true })
  mkdirSync(snippets, { recursive: true })
  for (const { file, code } of programs) if (code !== undefined) writeFileSync(file, code)
  desk = mkdtempSync(join(tmpdir(), 'langevin-docs-'))
  for (const folder of ['zoo', 'examples']) {
    if (existsSync(join(root, folder))) symlinkSync(join(root, folder), join(desk, folder), 'junction')
  }
  // Small checkpoints of diffusers' classes stand for those that a reader has.
  symlinkSync(join(root, 'parity/fixtures/stable-diffusion'), join(desk, 'checkpoints'), 'junction')
  symlinkSync(join(root, 'parity/fixtures/stable-diffusion-3'), join(desk, 'models'), 'junction')
  symlinkSync(join(root, 'parity/fixtures/transformers'), join(desk, 'transformers'), 'junction')
  symlinkSync(join(root, 'parity/fixtures/text'), join(desk, 'language'), 'junction')
})

afterAll(() => rmSync(desk, { recursive: true, force: true }))

test('snippets are found with their lines', () => {
  expect(blocks('# a\n```ts\nconst x = 1\n```\n```sh\nls\n```\n```ts\ny\n```\n')).toEqual([
    { line: 3, code: 'const x = 1\n' },
    { line: 9, code: 'y\n' },
  ])
})

test.skipIf(programs.every(({ code }) => code === undefined))('snippets hold their types', { timeout: 120_000 }, () => {
  writeFileSync(join(snippets, 'tsconfig.json'), JSON.stringify({ extends: '../../tsconfig.json', include: ['*.ts'] }))
  const tsc = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', snippets], { encoding: 'utf8' })
  expect(tsc.stdout).toBe('')
})

test.for(programs)('$name runs', { timeout: 120_000 }, ({ file }) => {
  execFileSync(process.execPath, ['--conditions=@langevin/source', file], { cwd: desk, stdio: 'pipe', encoding: 'utf8' })
})
