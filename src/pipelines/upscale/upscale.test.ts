import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { fixture, maxDifference } from '../../../tests/fixture.ts'
import { finish } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { loadUpscaler, openUpscaler, type UpscaleOptions } from './index.ts'

const reference = fixture('upscaled')
const cases = [...reference.tensors.keys()].filter((key) => key.endsWith('.made')).map((key) => key.slice(0, -'.made'.length))
const fileOf = (name: string) => fileURLToPath(new URL(`../../../parity/fixtures/upscalers/${name}.pth`, import.meta.url))

/** Levels as a picture in [0, 1]. */
function pictureOf(name: string, top: number): NdArray<'f32'> {
  const levels = reference.tensors.get(name) as NdArray
  return levels
    .cast('f32')

    .mul(1 / top) as NdArray<'f32'>
}

test.each(cases)('%s: the picture of the reference implementation, to the level', async (name) => {
  const [network, what, tile] = name.split(' ') as [string, string, string]
  const top = what === 'deep' ? 65535 : 255
  const upscaler = loadUpscaler(fileOf(network), { threads: 1 })
  try {
    // SwinIR's program was told to let tiles overlap by 8 pixels.
    const overlap = network.startsWith('swinir') && tile !== '0' ? { overlap: 8 } : {}
    const made = await finish(upscaler.upscale(pictureOf(`${name}.given`, top), { tile: Number(tile), ...overlap }))
    const expected = reference.tensors.get(`${name}.made`) as NdArray
    const levels = made.mul(top).map(Math.round)
    expect(levels.shape).toEqual(expected.shape)
    expect(maxDifference(levels, expected.cast('f32'))).toBeLessThanOrEqual(top === 255 ? 1 : 8)
    expect(expected.cast('f32').std().item()).toBeGreaterThan(top / 100)
  } finally {
    await upscaler.release()
  }
})

/** A picture [C, H, W] in [0, 1] of waves. */
const waves = (channels: number, height: number, width: number) =>
  NdArray.full([channels, height, width], 0).map((_, i) => 0.5 + 0.4 * Math.sin(i / 3)) as NdArray<'f32'>

const upscaled = async (model: string, picture: NdArray<'f32'>, options: UpscaleOptions = {}) => {
  const upscaler = loadUpscaler(model, { threads: 1 })
  try {
    return await finish(upscaler.upscale(picture, options))
  } finally {
    await upscaler.release()
  }
}

test('any picture, scale and tile: the size is what was asked for, and nothing but numbers of the range comes out', async () => {
  for (const [channels, height, width] of [
    [1, 1, 1],
    [2, 3, 1],
    [3, 5, 9],
    [4, 17, 2],
  ] as const)
    for (const scale of [0.5, 1, 3, 4.5]) {
      const made = await upscaled(fileOf('esrgan-x2'), waves(channels, height, width), { scale, tile: 4 })
      expect(made.shape).toEqual([channels, Math.max(1, Math.round(height * scale)), Math.max(1, Math.round(width * scale))])
      expect(made.data.every((value) => value >= 0 && value <= 1)).toBe(true)
    }
})

test('tiles with much context give the picture of the whole', async () => {
  const picture = waves(3, 40, 30)
  const whole = await upscaled(fileOf('compact-x4'), picture, { tile: 0 })
  expect(maxDifference(await upscaled(fileOf('compact-x4'), picture, { tile: 8 }), whole)).toBeLessThan(1e-5)
})

test('Lanczos keeps constants exactly, and its steps are told', async () => {
  const made = await upscaled('lanczos', NdArray.full([3, 7, 5], 0.3), { scale: 2.6 })
  expect(made.shape).toEqual([3, 18, 13])
  expect(made.data.every((value) => Math.abs(value - 0.3) < 1e-6)).toBe(true)
  const steps = loadUpscaler(fileOf('esrgan-x4'), { threads: 1 }).upscale(waves(4, 9, 9), { tile: 8 })
  const seen: string[] = []
  for await (const { done, total } of steps) seen.push(`${done}/${total}`)
  expect(seen).toEqual(['1/8', '2/8', '3/8', '4/8', '5/8', '6/8', '7/8', '8/8'])
})

test('what cannot be opened or enlarged is named with the remedy', async () => {
  expect(() => openUpscaler('no-such-upscaler')).toThrow('no such folder, and no bundled model of this name')
  const other = fileURLToPath(new URL('../../../parity/fixtures/clip.safetensors', import.meta.url))
  expect(() => openUpscaler(other)).toThrow(
    'has the keys of no upscaler that is known; upscalers are RRDBNet, SRVGGNetCompact, SwinIR',
  )
  await expect(upscaled('lanczos', waves(3, 4, 4), { scale: 0 })).rejects.toThrow('scale: expected a number above 0')
  await expect(upscaled(fileOf('esrgan-x4'), waves(3, 4, 4), { tile: -1 })).rejects.toThrow('tile: expected pixels, 0 or more')
  await expect(upscaled(fileOf('esrgan-x4'), waves(3, 4, 4), { tile: 8, overlap: 8 })).rejects.toThrow('is no less than the tile')
  await expect(upscaled('lanczos', NdArray.zeros([3, 4]))).rejects.toThrow('expected a picture [1 to 4, H, W]')
  const controller = new AbortController()
  const steps = loadUpscaler(fileOf('esrgan-x4'), { threads: 1 }).upscale(waves(3, 9, 9), { tile: 8, signal: controller.signal })
  await steps.next()
  controller.abort(new Error('enough'))
  await expect(steps.next()).rejects.toThrow('enough')
})
