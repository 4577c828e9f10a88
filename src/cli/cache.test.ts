import { existsSync, mkdtempSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openSafetensors, writeSafetensors } from '../checkpoints/safetensors.ts'
import { input } from '../core/tensor.ts'
import { conv } from '../nn/layers.ts'
import { Params } from '../nn/params.ts'
import { packStore } from '../runtime/node/pack-store.ts'
import { compile } from '../runtime/program.ts'
import { Generator } from '../runtime/random.ts'
import { main } from './program.ts'

async function run(...args: string[]) {
  let out = ''
  let err = ''
  const code = await main(args, { out: { write: (text) => (out += text) }, err: { write: (text) => (err += text) } })
  return { code, out, err }
}

test('packed weights are shown and cleared, and nothing is kept where the cache is off', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'langevin-cache-'))
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true })
  })
  vi.stubEnv('LANGEVIN_CACHE', join(folder, 'cache'))
  const file = join(folder, 'weights.safetensors')
  const p = new Params()
  const y = conv(p.at('layer'), 192, 192, 3, { padding: 1 })(input('x', [1, 192, 16, 16]))
  writeSafetensors(file, p.initialise(new Generator(0)))
  utimesSync(file, 1e9, 1e9)
  await (await compile({ outputs: { y }, weights: openSafetensors(file).tensors })).release()
  await packStore()?.settled()

  const shown = JSON.parse((await run('cache', '--json')).out)
  expect(shown).toMatchObject({ folder: join(folder, 'cache', 'packed'), limit: 20e9, files: [{ weights: 1 }] })
  expect(shown.bytes).toBeGreaterThan(2 ** 20)
  const [{ path }] = shown.files
  expect((await run('cache')).out).toContain(path)
  const cleared = JSON.parse((await run('cache', 'clear', '--json')).out)
  expect(cleared).toMatchObject({ bytes: 0, files: [], removed: shown.bytes })
  expect(existsSync(path)).toBe(false)
  expect((await run('cache', 'everything')).code).toBe(2)
  vi.stubEnv('LANGEVIN_CACHE', 'off')
  expect((await run('cache')).out).toBe('LANGEVIN_CACHE is off: nothing is kept\n')
})
