import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test, vi } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { hub } from '../../../tests/fake-hub.ts'
import { main } from '../program.ts'
import { hubOf } from './load.ts'

const folder = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion', import.meta.url))
const environment = { ...process.env }
afterEach(() => {
  process.env = { ...environment }
  vi.restoreAllMocks()
})

test('a LoRA comes by its name on the hub, by its flag and in the prompt', { timeout: 120_000 }, async () => {
  const file = `${folder}/loras/diffusers.safetensors`
  const { endpoint } = await hub({ contents: { 'pytorch_lora_weights.safetensors': readFileSync(file) } })
  Object.assign(process.env, { HF_ENDPOINT: endpoint, HF_HUB_CACHE: temporaryFolder(), HF_HUB_OFFLINE: '' })
  const desk = mkdtempSync(join(tmpdir(), 'langevin-generate-hub-'))
  const made = async (name: string, prompt: string, ...flags: string[]) => {
    const out = join(desk, `${name}.png`)
    const quiet = { write: () => true }
    const all = [
      'generate',
      prompt,
      '--model',
      `${folder}/sd1`,
      '--steps',
      '2',
      '--threads',
      '1',
      '--no-draw',
      '--out',
      out,
      ...flags,
    ]
    expect(await main(all, { out: quiet, err: quiet })).toBe(0)
    const { decodePixels } = await import('../../images/index.ts')
    return (await decodePixels(out)).data
  }
  try {
    const wanted = await made('file', 'a fox', '--lora', `${file}:0.8`)
    expect(await made('flag', 'a fox', '--lora', 'some-org/tiny.model:0.8')).toEqual(wanted)
    expect(await made('prompt', 'a fox<lora:some-org/tiny.model:0.8>')).toEqual(wanted)
    expect(await made('none', 'a fox')).not.toEqual(wanted)
  } finally {
    rmSync(desk, { recursive: true })
  }
})

test('a download is told once a second', () => {
  let now = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  let err = ''
  const { onProgress } = hubOf(new AbortController().signal, {
    out: { write: () => true },
    err: { write: (text) => (err += text) },
  })
  for (now = 0; now < 2500; now += 250)
    onProgress?.({ file: 'a.bin', done: 1, total: 2, index: 1, count: 1, allDone: now * 1e6, allTotal: 4e9 })
  expect(err).toBe('a.bin: 1000.0 MB of 4000.0 MB\na.bin: 2000.0 MB of 4000.0 MB\n')
})
