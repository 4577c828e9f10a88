import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import { decodeImage } from '../../images/index.ts'
import { compile } from '../../runtime/program.ts'
import { finish, loadStableDiffusion } from '../index.ts'

vi.mock('../../runtime/program.ts', async (original) => {
  const module = await original<typeof import('../../runtime/program.ts')>()
  return { ...module, compile: vi.fn(module.compile) }
})

const folder = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion', import.meta.url))

test('a second run compiles nothing: neither networks nor the encoders of adapters', { timeout: 120_000 }, async () => {
  const model = await loadStableDiffusion(`${folder}/sd1`, {
    threads: 1,
    ipAdapters: [`${folder}/ip-adapter/plus.safetensors`, `${folder}/ip-adapter/plain.safetensors`],
    adapters: [`${folder}/t2i-adapter`],
  })
  const picture = await decodeImage(`${folder}/inputs/picture.png`)
  const adapters = [{ picture }]
  const run = (prompt: string) => finish(model.generate({ prompt, steps: 1, imagePrompts: [{ picture }, { picture }], adapters }))
  await run('a fox')
  const compiled = vi.mocked(compile).mock.calls.length
  expect(compiled).toBeGreaterThan(4)
  await run('two hens')
  expect(vi.mocked(compile).mock.calls.length).toBe(compiled)
  await model.release()
})
