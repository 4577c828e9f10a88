import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { layoutColour } from '../../data/index.ts'
import { canny, decodePixels } from '../../images/index.ts'
import { main } from '../program.ts'

const folder = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion', import.meta.url))
const desk = mkdtempSync(join(tmpdir(), 'langevin-controls-'))
afterAll(() => rmSync(desk, { recursive: true }))
const at = (name: string) => join(desk, name)
const picture = `${folder}/inputs/picture.png`

async function generate(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(['generate', ...args], { out: sink('out'), err: sink('err') }), ...written }
}

test('a control image can be looked at alone: edges of a picture, a layout of boxes', async () => {
  const edges = await generate('--control', picture, '--preprocess', 'canny', '--control-out', at('edges.png'))
  expect(edges).toMatchObject({ code: 0, out: `${at('edges.png')}\n` })
  expect((await decodePixels(at('edges.png'))).data).toEqual(canny(await decodePixels(picture)).data)
  const boxes = ['--control', 'a fox@0,0,0.5,1; star@.5,0,1,1', '--preprocess', 'layout']
  const size = ['--width', '32', '--height', '16']
  expect(await generate(...boxes, ...size, '--control-out', at('layout.png'))).toMatchObject({ code: 0 })
  const map = await decodePixels(at('layout.png'))
  expect(map.shape).toEqual([16, 32, 3])
  const middle = (x: number) => [...map.data.slice((8 * 32 + x) * 3, (8 * 32 + x) * 3 + 3)]
  expect([middle(8), middle(24)]).toEqual([layoutColour('fox'), layoutColour('star')])
})

test('a picture is made by what a preprocessor makes of another, as by that itself', { timeout: 60_000 }, async () => {
  const run = ['a fox', '--model', `${folder}/sd1`, '--controlnet', `${folder}/controlnet-a`, '--steps', '1', '--threads', '1']
  const own = [...run, '--control', picture, '--preprocess', 'canny', '--no-draw']
  expect(await generate(...own, '--control-out', at('map.png'), '--out', at('made.png'))).toMatchObject({ code: 0 })
  expect(await generate(...run, '--control', at('map.png'), '--no-draw', '--out', at('again.png'))).toMatchObject({ code: 0 })
  expect(await decodePixels(at('made.png'))).toEqual(await decodePixels(at('again.png')))
  expect(readFileSync(at('map.png')).length).toBeGreaterThan(50)
})

test('what is no control image is refused with what would be', async () => {
  const faults: [string[], RegExp][] = [
    [['--control', 'fox', '--preprocess', 'layout'], /fox: no object with its box; a layout is "NAME@LEFT/],
    [['--control', 'dragon@0,0,1,1', '--preprocess', 'layout'], /dragon is no object of the scenes/],
    [['--control', 'fox@0.5,0,0.4,1', '--preprocess', 'layout'], /its box is none within 0 to 1/],
    [['--preprocess', 'canny'], /there is no --control/],
    [['--control', picture, '--preprocess', 'depth'], /canny/],
    [['--control', picture, '--preprocess', 'canny', '--preprocess', 'blur'], /2 for 1 pictures/],
  ]
  for (const [flags, message] of faults) {
    const { code, err } = await generate(...flags, '--control-out', at('no.png'))
    expect([code, err]).toEqual([2, expect.stringMatching(message)])
  }
})
