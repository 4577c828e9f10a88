import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { ifCheckpoint, ifGiven, ifPictures } from '../../../tests/deepfloyd-if.ts'
import { maxDifference } from '../../../tests/fixture.ts'
import { decodePixels, savePng } from '../../images/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { main } from '../program.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-cascade-'))
afterAll(() => rmSync(desk, { recursive: true }))
const [one, two] = [ifCheckpoint('one', desk), ifCheckpoint('two', desk)]
const upscaler = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion/upscaler', import.meta.url))
const timeout = 60_000
const at = (name: string) => join(desk, name)

async function generate(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  const code = await main(['generate', ...args, '--threads', '1', '--no-draw'], { out: sink('out'), err: sink('err') })
  return { code, ...written }
}
const expected = (name: string) => ifPictures.tensors.get(name) as NdArray

test('a cascade of three models in one command gives what diffusers gives, one stage after another', { timeout }, async () => {
  const out = at('chain.png')
  const first = ['two frogs', '--model', one, '--steps', '5', '--guidance', '3', '--seed', '3', '--out', out]
  const second = `${two}; steps=4; guidance=3; noise-level=100`
  expect(await generate(...first, '--then', second)).toMatchObject({ code: 0 })
  expect(maxDifference(await decodePixels(out), expected('chain two'))).toBeLessThanOrEqual(1)
  const third = `${upscaler}; steps=3; noise-level=50; guidance=2`
  expect(await generate(...first, '--then', second, '--then', third)).toMatchObject({ code: 0 })
  const whole = await decodePixels(out)
  expect(whole.shape).toEqual([128, 128, 3])
  const half = expected('chain three')
  let most = 0
  for (let y = 0; y < 64; y++)
    for (let x = 0; x < 64; x++)
      for (let c = 0; c < 3; c++) {
        const made = whole.data[(2 * y * 128 + 2 * x) * 3 + c] as number
        most = Math.max(most, Math.abs(made - (half.data[(y * 64 + x) * 3 + c] as number)))
      }
  expect(most).toBeLessThanOrEqual(1)
  const text = readFileSync(out).toString('latin1')
  expect(text).toMatch(/Stage 2: "two, Steps: 4, Sampler: DDPMScheduler, CFG scale: 3, Noise level: 100"/)
  expect(text).toMatch(/Stage 3: "upscaler, Steps: 3, .*Noise level: 50"/)
})

test('the picture that a cascade starts from is the original of its later stages', { timeout }, async () => {
  const [image, out] = [at('wide.png'), at('from.png')]
  await savePng(image, ifGiven('wide') as never)
  const flags = ['a hat', '--model', one, '--image', image, '--strength', '0.5', '--steps', '6', '--guidance', '3', '--seed', '4']
  expect(await generate(...flags, '--then', `${two}; steps=5; guidance=3`, '--out', out)).toMatchObject({ code: 0 })
  expect(maxDifference(await decodePixels(out), expected('chain picture'))).toBeLessThanOrEqual(1)
})

test('several pictures go through a cascade each with its seed, also where a stage has no text encoder', {
  timeout,
}, async () => {
  const bare = ifCheckpoint('two', mkdtempSync(join(desk, 'bare-')))
  const index = join(bare, 'model_index.json')
  writeFileSync(index, JSON.stringify({ ...JSON.parse(readFileSync(index, 'utf8')), text_encoder: [null, null] }))
  rmSync(join(bare, 'text_encoder'), { recursive: true })
  const flags = ['two frogs', '--negative', 'dark', '--model', one, '--steps', '2']
  const later = ['--then', `${bare}; steps=2`]
  expect(await generate(...flags, ...later, '--seed', '5', '--num', '2', '--out', at('many.png'))).toMatchObject({ code: 0 })
  expect(await generate(...flags, '--then', `${two}; steps=2`, '--seed', '6', '--out', at('alone.png'))).toMatchObject({
    code: 0,
  })
  expect(maxDifference(await decodePixels(at('many-1.png')), await decodePixels(at('alone.png')))).toBe(0)
})

test('a cascade that cannot be is refused before anything runs', { timeout }, async () => {
  const faults: [string[], RegExp][] = [
    [['--then', 'steps=3'], /--then: steps=3: expected MODEL/],
    [['--then', `${two}; stops=3`], /--then: stops=3: expected OPTION=VALUE/],
    [['--then', `${two}; steps=many`], /--then: many is no --steps/],
    [['--then', `${two}; noise-level=1000`], /noiseLevel: 1000 is none/],
    [['--then', `${two}; label=7`], /label: no option here/],
  ]
  for (const [flags, message] of faults) {
    const { code, err } = await generate('a fox', '--model', one, '--out', at('no.png'), ...flags)
    expect([code, err]).toEqual([2, expect.stringMatching(message)])
  }
})
