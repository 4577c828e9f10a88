import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { afterAll, expect, test } from 'vitest'
import { fixture, maxDifference } from '../../tests/fixture.ts'
import { decodeImage, encodePlanes, readHeader, readPngText } from '../images/index.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { main } from './program.ts'

const reference = fixture('upscaled')
const networkFile = (name: string) => fileURLToPath(new URL(`../../parity/fixtures/upscalers/${name}.pth`, import.meta.url))
const desk = mkdtempSync(join(tmpdir(), 'langevin-upscale-'))
afterAll(() => rmSync(desk, { recursive: true }))

async function run(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(['upscale', ...args], { out: sink('out'), err: sink('err') }), ...written }
}

/** Levels [C, H, W] of the fixture as a PNG file. */
async function given(name: string, depth: 8 | 16 = 8): Promise<string> {
  const levels = reference.tensors.get(`${name}.given`) as NdArray
  const file = join(desk, `${name.replaceAll(' ', '-')}.png`)
  writeFileSync(file, await encodePlanes(levels.cast('f32').mul(1 / (depth === 8 ? 255 : 65535)), { depth }))
  return file
}

test.each(['rgb', 'alpha', 'grey', 'deep'])('%s: the file holds what the reference program made of it', async (what) => {
  const depth = what === 'deep' ? 16 : 8
  const file = await given(`esrgan-x4 ${what} 0`, depth)
  const out = join(desk, `${what}-large.png`)
  const model = networkFile('esrgan-x4')
  expect(await run(file, '--model', model, '--out', out, '--tile', '0')).toMatchObject({ code: 0, out: `${out}\n` })
  expect(await readHeader(out)).toMatchObject({ hasAlpha: what === 'alpha', grey: what === 'grey', depth })
  const expected = (reference.tensors.get(`esrgan-x4 ${what} 0.made`) as NdArray).cast('f32')
  const top = depth === 8 ? 255 : 65535
  const channels = expected.shape[0] as 1 | 3 | 4
  const made = (await decodeImage(out, { channels, depth })).map((value) => Math.round(((value + 1) / 2) * top))
  expect(maxDifference(made, expected)).toBeLessThanOrEqual(depth === 8 ? 1 : 8)
  expect(Object.fromEntries(readPngText(readFileSync(out))).parameters).toBe(
    `Upscaler: RRDBNet, Model: esrgan-x4.pth, Scale: 4, Source: esrgan-x4-${what}-0.png`,
  )
})

test('several pictures go into a folder, each by its name, and a photograph stands as it was held', async () => {
  const folder = join(desk, 'photos')
  mkdirSync(folder)
  const raw = { width: 6, height: 4, channels: 3 } as const
  const levels = Uint8Array.from({ length: 72 }, (_, i) => (i * 37) % 256)
  await sharp(levels, { raw })
    .withExif({ IFD0: { Orientation: '6' } })
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toFile(join(folder, 'turned.jpg'))
  await sharp(levels, { raw }).png().toFile(join(folder, 'plain.png'))
  const out = join(desk, 'large')
  const { code, out: printed } = await run(folder, '--scale', '2.5', '--out', out, '--json')
  expect(code).toBe(0)
  const { pictures } = JSON.parse(printed)
  expect(pictures.map(({ file, size, scale }: Record<string, unknown>) => [file, size, scale])).toEqual([
    [join(out, 'plain.png'), '15x10', 2.5],
    [join(out, 'turned.png'), '10x15', 2.5],
  ])
})

test('unless told, the result lies beside the picture, four times as large, the same bytes each time', async () => {
  const file = await given('esrgan-x4 rgb 0')
  const { out } = await run(file)
  expect(out).toBe(`${file.replace('.png', '-x4.png')}\n`)
  const first = readFileSync(out.trim())
  await run(file)
  expect(readFileSync(out.trim())).toEqual(first)
})

test('what cannot be done is told before any work, with the flag', async () => {
  const file = await given('esrgan-x4 rgb 0')
  const broken = join(desk, 'broken.png')
  writeFileSync(broken, 'not a picture')
  expect(await run('none.png')).toMatchObject({
    code: 2,
    err: expect.stringContaining('<pictures>: no such file or folder: none.png'),
  })
  expect(await run(file, '--out', join(desk, 'x.jpg'))).toMatchObject({ code: 2, err: expect.stringContaining('--out:') })
  expect(await run(file, '--scale', '0')).toMatchObject({ code: 2, err: expect.stringContaining('--scale') })
  expect(await run(file, '--model', broken)).toMatchObject({ code: 1, err: expect.stringContaining('broken.png') })
  expect(await run(broken)).toMatchObject({ code: 1, err: expect.stringContaining('broken.png') })
  expect(await run(file, file.replace('.png', '-x4.png'), '--out', file)).toMatchObject({
    code: 2,
    err: expect.stringContaining('is a file'),
  })
})
