import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { unclipCheckpoint, unclipInput, unclipPictures } from '../../../tests/unclip.ts'
import { openSafetensors } from '../../checkpoints/index.ts'
import { decodePixels } from '../../images/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { main } from '../program.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-generate-unclip-'))
afterAll(() => rmSync(desk, { recursive: true }))
const timeout = 60_000

async function run(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(args, { out: sink('out'), err: sink('err') }), ...written }
}
const generate = (model: string, ...args: string[]) => run('generate', '--model', model, '--threads', '1', '--no-draw', ...args)
const levels = async (file: string, name: string): Promise<number> =>
  maxDifference(await decodePixels(file), unclipPictures.tensors.get(name) as NdArray)

test('a prompt by a prior, a decoder and an enlarging network; the picture says how, and makes itself again', {
  timeout,
}, async () => {
  const model = unclipCheckpoint('karlo')
  const [out, again] = [join(desk, 'fox.png'), join(desk, 'again.png')]
  const flags = ['--prior-steps', '4', '--prior-guidance', '2.5', '--steps', '4', '--guidance', '1', '--super-res-steps', '4']
  const made = await generate(model, 'a photo of a red fox in the snow', ...flags, '--seed', '1', '--out', out)
  expect(made).toMatchObject({ code: 0 })
  expect(await levels(out, 'karlo prior alone guided.0')).toBeLessThanOrEqual(1)
  expect((await run('info', out)).out).toMatch(
    /Steps: 4, CFG scale: 1, Seed: 1, Size: 16x16, Model: karlo, Super-resolution steps: 4, Prior steps: 4, Prior CFG scale: 2\.5/,
  )
  expect(await generate(model, '--from', out, '--out', again)).toMatchObject({ code: 0 })
  expect(maxDifference(await decodePixels(again), await decodePixels(out))).toBe(0)
})

test("a decoder with another folder's prior; a prior alone, whose embeddings a decoder takes", { timeout }, async () => {
  const [decoder, prior] = [unclipCheckpoint('kandinsky-image'), unclipCheckpoint('kandinsky-prior')]
  const out = join(desk, 'image.png')
  const size = ['--width', '32', '--height', '32']
  const start = ['--image', unclipInput('fox'), '--strength', '0.5', '--steps', '6', ...size]
  const prompt = ['a photo of a red fox in the snow', '--prior-steps', '3']
  expect(await generate(decoder, ...prompt, ...start, '--prior', prior, '--out', out)).toMatchObject({ code: 0 })
  expect(await levels(out, 'kandinsky image.0')).toBeLessThanOrEqual(1)
  const embeds = join(desk, 'fox.safetensors')
  const alone = await generate(prior, ...prompt, '--num', '2', '--out', join(desk, 'fox.png'))
  expect([alone.code, alone.out]).toEqual([0, `${embeds}\n`])
  expect([...openSafetensors(embeds).tensors].map(([name, { shape }]) => [name, shape])).toEqual([
    ['image_embeds', [2, 16]],
    ['negative_image_embeds', [2, 16]],
  ])
  const given = ['--image-embeds', embeds, '--num', '2', ...start, '--out', join(desk, 'given.png')]
  expect(await generate(decoder, ...given)).toMatchObject({ code: 0 })
  expect(existsSync(join(desk, 'given-1.png'))).toBe(true)
  for (const [flags, message] of [
    [prompt, /--prior/],
    [['a fox', '--image-embeds', embeds, '--num', '2', ...start], /imageEmbeds: they stand for a prompt/],
    [['--image-embeds', embeds, '--num', '3', ...start], /expected \[1, 16\] or \[3, 16\], got \[2, 16\]/],
    [['--image-embeds', join(unclipCheckpoint('karlo'), 'prior/diffusion_pytorch_model.safetensors')], /no tensor image_embeds/],
    [[...start, '--prior', prior], /prompt: missing/],
  ] as const)
    expect((await generate(decoder, ...flags)).err).toMatch(message)
})

test('--from and --to are two texts where a picture is changed by them', { timeout }, async () => {
  const model = unclipCheckpoint('karlo-variation')
  const out = join(desk, 'edited.png')
  const flags = ['--image', unclipInput('fox'), '--steps', '3', '--super-res-steps', '2', '--out', out]
  const texts = ['--from', 'a red fox', '--to', 'two frogs', '--amount', '0.5', '--num', '2']
  expect(await generate(model, ...texts, ...flags)).toMatchObject({ code: 0 })
  expect((await run('info', out)).out).toMatch(/Edit: "\\?"a red fox\\?" to \\?"two frogs\\?""/)
  expect(existsSync(join(desk, 'edited-1.png'))).toBe(true)
  expect(await generate(model, '--interpolate', unclipInput('owl'), ...flags)).toMatchObject({ code: 0 })
  expect(await generate(model, '--vary', '--eta', '0.5', ...flags)).toMatchObject({ code: 0 })
})
