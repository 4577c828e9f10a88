import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { LangevinError } from '../../core/errors.ts'
import { cacheFolder } from './cache.ts'

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

test('a folder that cannot be made is an error with the remedy', () => {
  writeFileSync(join(desk, 'file'), '')
  vi.stubEnv('LANGEVIN_CACHE', join(desk, 'file'))
  expect(() => cacheFolder('stickers')).toThrow(LangevinError)
  expect(() => cacheFolder('stickers')).toThrow('Set LANGEVIN_CACHE')
})
