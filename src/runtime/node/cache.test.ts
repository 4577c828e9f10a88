import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { LangevinError } from '../../core/errors.ts'
import { cacheFolder, programFolder } from './cache.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-cache-'))
afterEach(() => vi.unstubAllEnvs())
afterAll(() => rmSync(desk, { recursive: true, force: true }))

test('LANGEVIN_CACHE comes first, then XDG_CACHE_HOME; the folder is made', () => {
  vi.stubEnv('XDG_CACHE_HOME', join(desk, 'xdg'))
  vi.stubEnv('LANGEVIN_CACHE', '')
  expect(cacheFolder('stickers')).toBe(join(desk, 'xdg', 'langevin', 'stickers'))
  vi.stubEnv('LANGEVIN_CACHE', join(desk, 'own'))
  expect(cacheFolder('a', 'b')).toBe(join(desk, 'own', 'a', 'b'))
  expect(statSync(join(desk, 'own', 'a', 'b')).isDirectory()).toBe(true)
})

test('programs that are brought lie in the same folder, for the launcher too, and stay where the cache is off', async () => {
  const launcher = await import(pathToFileURL(join(import.meta.dirname, '../../../bin/cache.mjs')).href)
  for (const [cache, xdg, expected] of [
    ['', '', join(homedir(), process.platform === 'darwin' ? 'Library/Caches' : '.cache', 'langevin')],
    ['', join(desk, 'xdg'), join(desk, 'xdg', 'langevin')],
    ['off', join(desk, 'xdg'), join(desk, 'xdg', 'langevin')],
    [join(desk, 'own'), join(desk, 'xdg'), join(desk, 'own')],
    // npm runs elsewhere, so the path is whole.
    ['own', '', resolve('own')],
  ] as const) {
    vi.stubEnv('LANGEVIN_CACHE', cache)
    vi.stubEnv('XDG_CACHE_HOME', xdg)
    expect(programFolder('engine', '1')).toBe(join(expected, 'engine', '1'))
    expect(launcher.programFolder('engine', '1')).toBe(join(expected, 'engine', '1'))
  }
})

test('tests keep what they make in the repository', () => {
  const folder = join(import.meta.dirname, '../../../.cache/tests')
  expect(cacheFolder('x')).toBe(join(folder, 'x'))
  expect(process.env.HF_HOME).toBe(join(folder, 'huggingface'))
})

test('a folder that cannot be made is an error with the remedy', () => {
  writeFileSync(join(desk, 'file'), '')
  vi.stubEnv('LANGEVIN_CACHE', join(desk, 'file'))
  expect(() => cacheFolder('stickers')).toThrow(LangevinError)
  expect(() => cacheFolder('stickers')).toThrow('Set LANGEVIN_CACHE')
})
