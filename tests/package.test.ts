import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { program } from '../src/cli/program.ts'
import { bundledModels } from '../src/pipelines/index.ts'

const read = (file: string) => JSON.parse(readFileSync(resolve(import.meta.dirname, '..', file), 'utf8'))

test.each(['package-lock.json', 'studio/package-lock.json'])(
  '%s holds the packages of every platform, else npm 11 refuses it',
  (file) => {
    const { packages } = read(file) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>
    }
    const held = (from: string, name: string) => `${from}/node_modules/${name}` in packages || `node_modules/${name}` in packages
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) => !held(path, name)),
    )
    expect(missing).toEqual([])
  },
)

test.each(['package-lock.json', 'studio/package-lock.json'])(
  'no dependency in %s needs its install script, which .npmrc keeps from running',
  (file) => {
    const { packages } = read(file) as { packages: Record<string, { hasInstallScript?: boolean }> }
    const scripts = Object.keys(packages).filter((path) => packages[path]?.hasInstallScript)
    // CUDA libraries on Linux; a file watcher that macOS has prebuilt; an optional reader of BullMQ's records, prebuilt too.
    const known = [
      'node_modules/onnxruntime-node',
      'node_modules/fsevents',
      'node_modules/vite/node_modules/fsevents',
      'node_modules/msgpackr-extract',
    ]
    expect(scripts.filter((path) => !known.includes(path))).toEqual([])
  },
)

test('npm start runs a model that is bundled', () => {
  const script = readFileSync(resolve(import.meta.dirname, '../scripts/start.mjs'), 'utf8')
  const words = /mainJob = '([^']+)'/.exec(script)?.[1]?.split(' ') ?? []
  expect(words.filter((word) => bundledModels().includes(word))).toHaveLength(1)
})

test('npm start knows every command, so that all else is a prompt', async () => {
  const script = readFileSync(resolve(import.meta.dirname, '../scripts/start.mjs'), 'utf8')
  const [, list] = /const commands = \[([^\]]*)\]/.exec(script) ?? []
  const silent = { write: () => undefined }
  const names = (await program({ out: silent, err: silent })).commands.map((command) => command.name())
  expect((list?.match(/\w+/g) ?? []).sort()).toEqual(names.sort())
})
