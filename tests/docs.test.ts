import { type ChildProcess, execFileSync, fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ifCheckpoint } from './deepfloyd-if.ts'
import { glideCheckpoint } from './glide.ts'
import { unclipCheckpoint } from './unclip.ts'
import { videoCheckpoint } from './video.ts'

const root = resolve(import.meta.dirname, '..')
/** Inside the package, so that a snippet's `import 'langevin/…'` is the package itself, from its source. */
const snippets = join(root, '.cache/docs')

/** TypeScript with a record of what it checked before. */
const tsc = [
  join(root, 'node_modules/typescript/bin/tsc'),
  '--incremental',
  '--tsBuildInfoFile',
  join(root, '.cache/docs.tsbuildinfo'),
]

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
  symlinkSync(join(root, 'parity/fixtures/dalle'), join(desk, 'dalle'), 'junction')
  symlinkSync(join(root, 'parity/fixtures/text'), join(desk, 'language'), 'junction')
  for (const name of ['one', 'two']) ifCheckpoint(name, join(desk, 'deepfloyd'))
  glideCheckpoint(join(desk, 'glide'))
  videoCheckpoint('latte', join(desk, 'films'))
  symlinkSync(join(root, 'parity/fixtures/unclip/inputs'), join(desk, 'inputs'), 'junction')
  for (const name of ['karlo', 'karlo-variation', 'kandinsky', 'kandinsky-prior']) unclipCheckpoint(name, join(desk, 'unclip'))
}, 60_000)

afterAll(() => {
  runner?.child.kill()
  rmSync(desk, { recursive: true, force: true })
})

/** One process for all snippets, which would each load langevin for a second otherwise. */
let runner: { readonly child: ChildProcess; said: string } | undefined

function startRunner() {
  const file = join(snippets, 'runner.mjs')
  writeFileSync(
    file,
    `process.on('message', (file) => {
      import(file).then(() => process.send('done'), (error) => process.send(String(error?.stack ?? error)))
    })`,
  )
  const child = fork(file, { cwd: desk, execArgv: ['--conditions=@langevin/source'], silent: true })
  const started = { child, said: '' }
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (started.said += text))
  child.once('exit', () => {
    if (runner === started) runner = undefined
  })
  return started
}

/** Runs a snippet to its end. @throws what it threw, or what the process said where it ended */
async function runSnippet(file: string): Promise<void> {
  runner ??= startRunner()
  const { child } = runner
  const started = runner
  started.said = ''
  child.send(file)
  const answered = new AbortController()
  const { signal } = answered
  const [answer] = await Promise.race([once(child, 'message', { signal }), once(child, 'exit', { signal })])
  answered.abort()
  if (answer !== 'done')
    throw new Error(`${typeof answer === 'string' ? answer : `the process ended with ${answer}`}\n${started.said}`)
}

test('snippets are found with their lines', () => {
  expect(blocks('# a\n```ts\nconst x = 1\n```\n```sh\nls\n```\n```ts\ny\n```\n')).toEqual([
    { line: 3, code: 'const x = 1\n' },
    { line: 9, code: 'y\n' },
  ])
})

test.skipIf(programs.every(({ code }) => code === undefined))('snippets hold their types', { timeout: 120_000 }, () => {
  writeFileSync(join(snippets, 'tsconfig.json'), JSON.stringify({ extends: '../../tsconfig.json', include: ['*.ts'] }))
  const found = spawnSync(process.execPath, [...tsc, '-p', snippets], { encoding: 'utf8' })
  expect(found.stdout).toBe('')
})

test('the lines that architecture.md counts are right to a tenth', () => {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
  const counted = [...page.matchAll(/\[([\d,]+)\]\(\.\.\/(src\/pipelines\/[^)]+)\)/g)].map(([, lines, path]) => {
    const files = path!.endsWith('.ts') ? [path!] : filesIn(path!, '.ts').filter((file) => !file.endsWith('.test.ts'))
    const found = files.reduce((sum, file) => sum + readFileSync(join(root, file), 'utf8').split('\n').length - 1, 0)
    return { path, said: Number(lines!.replace(',', '')), found }
  })
  expect(counted.length).toBeGreaterThan(15)
  expect(counted.filter(({ said, found }) => Math.abs(said - found) > Math.max(3, found / 10))).toEqual([])
})

const inDocs = programs.filter(({ code }) => code !== undefined)
test.for(inDocs)('$name runs', { timeout: 120_000 }, ({ file }) => runSnippet(file))

test.skipIf(inDocs.length === 0)('no snippet leaves anything open that would keep its process from ending', async () => {
  const child = (runner as NonNullable<typeof runner>).child
  child.disconnect()
  expect(await once(child, 'exit')).toEqual([0, null])
})

test.for(programs.filter(({ code }) => code === undefined))('$name runs', { timeout: 120_000 }, ({ file }) => {
  execFileSync(process.execPath, ['--conditions=@langevin/source', file], { cwd: desk, stdio: 'pipe', encoding: 'utf8' })
})
