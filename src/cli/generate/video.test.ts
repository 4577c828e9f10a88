import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { videoCheckpoint, videoFrames } from '../../../tests/video.ts'
import { decodePixels } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { main } from '../program.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-generate-video-'))
afterAll(() => rmSync(desk, { recursive: true }))

async function run(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(args, { out: sink('out'), err: sink('err') }), ...written }
}
const prompt = 'A fox (oil painting) moves left in the snow, see www.foxes.com'
const size = ['--width', '48', '--height', '32', '--threads', '1', '--no-draw']

/** Every second row and column of the pictures in a folder. */
async function framesIn(dir: string): Promise<NdArray<'u8'>[]> {
  const all: NdArray<'u8'>[] = []
  for (const name of readdirSync(dir).sort()) {
    const { data, shape } = await decodePixels(join(dir, name))
    const [H, W] = shape as [number, number, number]
    const out = Uint8Array.from({ length: (H / 2) * (W / 2) * 3 }, (_, i) => {
      const [c, x, y] = [i % 3, Math.floor(i / 3) % (W / 2), Math.floor(i / 3 / (W / 2))]
      return data[(2 * y * W + 2 * x) * 3 + c] as number
    })
    all.push(new NdArray(out, [H / 2, W / 2, 3], 'u8'))
  }
  return all
}

test('a film of diffusers as numbered pictures, each within a level', { timeout: 60_000 }, async () => {
  const model = videoCheckpoint('latte')
  const out = join(desk, 'fox/')
  const made = await run('generate', prompt, '--model', model, '--frames', '4', '--steps', '4', ...size, '--out', out)
  expect(made).toMatchObject({ code: 0, out: `${out}\n` })
  const expected = videoFrames.tensors.get('latte.0') as NdArray
  const found = await framesIn(out)
  expect(found.length).toBe(4)
  for (const [t, frame] of found.entries())
    expect(maxDifference(frame, expected.slice(0, t, t + 1).reshape(frame.shape))).toBeLessThanOrEqual(1)
  // Nothing that lies there is written over.
  expect((await run('generate', prompt, '--model', model, ...size, '--out', out)).err).toMatch(/holds files already/)
})

test('films carry their settings, and are made again from them', { timeout: 60_000 }, async () => {
  const model = videoCheckpoint('latte')
  const flags = ['--model', model, '--steps', '1', '--fps', '12.5', '--seed', '3', ...size]
  const files = ['a.mp4', 'a.webm', 'a.webp', 'a.gif'].map((name) => join(desk, name))
  for (const file of files) {
    expect(await run('generate', 'a fox', ...flags, '--out', file)).toMatchObject({ code: 0, out: `${file}\n` })
    const told = await run('info', file)
    if (!file.endsWith('gif'))
      expect(told.out).toMatch(/^parameters: a fox\nSteps: 1, .*Seed: 3, Size: 48x32, .*Frames: 4, FPS: 12\.5/)
  }
  const again = join(desk, 'again.webm')
  const made = await run(
    'generate',
    '--from',
    files[0] as string,
    '--model',
    model,
    '--threads',
    '1',
    '--no-draw',
    '--out',
    again,
  )
  expect(made.code).toBe(0)
  expect((await run('info', again)).out).toBe((await run('info', files[1] as string)).out)
  const two = await run('generate', 'a fox', ...flags, '--num', '2', '--out', join(desk, 'two.webp'))
  expect(two.out.trim().split('\n')).toEqual([join(desk, 'two.webp'), join(desk, 'two-1.webp')])
})

test('a name that does not fit what the model makes is told before the work', async () => {
  const model = videoCheckpoint('latte')
  const out = join(desk, 'a.png')
  expect(await run('generate', 'a fox', '--model', model, '--out', out)).toMatchObject({
    code: 2,
    err: expect.stringMatching(/this model makes films: name a \.mp4/),
  })
  expect(existsSync(out)).toBe(false)
  expect((await run('generate', 'a fox', '--out', join(desk, 'a.mov'))).err).toMatch(/must end in \.png.*a film in \.mp4/)
  expect((await run('generate', 'a fox', '--model', model, '--frames', '7', '--out', join(desk, 'b.mp4'))).err).toMatch(
    /films of 4 frames/,
  )
})
