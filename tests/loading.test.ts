import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test, vi } from 'vitest'

// What an import, a help page or a short command costs before it does anything is the modules that it loads: each of these programs
// is run in a process of its own, which tells them.

const src = resolve(import.meta.dirname, '../src')
vi.setConfig({ testTimeout: 120_000 })

/** The packages, and the folders of `src/`, that a program loads; those of `src/pipelines` one level deeper. */
function loaded(program: string): { packages: string[]; folders: string[] } {
  const script = `
    import { registerHooks } from 'node:module'
    const urls = []
    registerHooks({ load: (url, context, next) => (urls.push(url), next(url, context)) })
    ${program}
    process.stdout.write(JSON.stringify(urls))`
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: src,
    encoding: 'utf8',
  })
  expect(status, stderr).toBe(0)
  const urls: string[] = JSON.parse(stdout)
  const own = `${pathToFileURL(src).href}/`
  const found = (list: string[], pattern: RegExp) => [...new Set(list.flatMap((url) => pattern.exec(url)?.[1] ?? []))].sort()
  return {
    packages: found(urls, /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/),
    folders: found(
      urls.filter((url) => url.startsWith(own)).map((url) => url.slice(own.length)),
      /^((?:pipelines\/)?[^/]+)\/[^/]+/,
    ),
  }
}

const commands = (...lines: string[][]) => `
  const silent = { write: () => true }
  const { main } = await import('./cli/program.ts')
  for (const args of ${JSON.stringify(lines)}) await main(args, { out: silent, err: silent })`

test("import 'langevin' loads neither ONNX Runtime nor sharp, and no pipeline, recipe or trainer before its first call", () => {
  const { packages, folders } = loaded("await import('./index.ts')")
  // zod reads the configs of upscalers, which open at once; protobufjs writes graphs.
  expect(packages).toEqual(['long', 'protobufjs', 'zod'])
  const expected = [
    'checkpoints',
    'core',
    'diffusion',
    'images',
    'models',
    'nn',
    'pipelines/open',
    'pipelines/upscale',
    'runtime',
  ]
  expect(folders).toEqual(expected)
})

test('what is loaded at the first call is loaded then, with its own errors', () => {
  const { folders } = loaded(`
    const { loadPipeline, loadDdpm, loadStableDiffusion, train } = await import('./index.ts')
    for (const load of [loadPipeline, loadDdpm, loadStableDiffusion])
      await load('/no/such/model').then(() => process.exit(3), ({ message }) => message.includes('/no/such/model') || process.exit(4))
    await train({}, {}).next().then(() => process.exit(5), () => undefined)`)
  expect(folders).toEqual(expect.arrayContaining(['pipelines/ddpm', 'pipelines/stable-diffusion', 'training']))
})

test('langevin --help and --version load no command', () => {
  const { packages, folders } = loaded(commands(['--help'], ['--version'], ['no-such-command']))
  expect(packages).toEqual(['commander', 'zod'])
  expect(folders).toEqual(['cli', 'core'])
})

test('langevin generate --help loads the pages for their flags; no ONNX Runtime, no picture library, no recipe', () => {
  const { packages, folders } = loaded(commands(['generate', '--help']))
  const heavy = /^(onnxruntime|sharp|@img|@huggingface\/hub|echarts|cli-progress|ml-matrix|@expo|@iconify)/
  expect(packages).toContain('commander')
  expect(packages.filter((name) => heavy.test(name))).toEqual([])
  expect(folders.filter((folder) => ['data', 'training', 'recipes', 'jobs', 'server'].includes(folder))).toEqual([])
})
