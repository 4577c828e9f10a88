import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../tests/fixture.ts'
import { ArgumentError, ShapeError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { ImageError } from './errors.ts'
import { imageGrid, imagesOf, type Pixels, toPixels, toRgb, toTensor } from './pixels.ts'
import { type Kernel, resize } from './resize.ts'

const pillow = fixture('images')
const pixelsIn = (name: string) => pillow.tensors.get(name) as Pixels
const solid = (H: number, W: number, colour: readonly number[]): Pixels =>
  new NdArray(
    Uint8Array.from({ length: H * W * colour.length }, (_, i) => colour[i % colour.length] as number),
    [H, W, colour.length],
    'u8',
  )

test('values become levels exactly as in diffusers, ties and out-of-range values included', () => {
  expect(toPixels(tensorOf(pillow, 'values')).data).toEqual(pixelsIn('levels').data)
})

test('levels become values exactly as in diffusers, and come back', () => {
  const expected = tensorOf(pillow, 'preprocessed')
  const levels = new NdArray(
    Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3)),
    [16, 16, 3],
    'u8',
  )
  expect(maxDifference(toTensor(levels), expected)).toBe(0)
  expect(toPixels(toTensor(levels)).data).toEqual(levels.data)
})

test('a value that is not finite is an error that says where', () => {
  const image = NdArray.zeros([3, 2, 4])
  image.data[2 * 8 + 5] = Number.NaN
  expect(() => toPixels(image)).toThrow('NaN at channel 2, row 1, column 1')
  expect(() => toPixels(image)).toThrow(ImageError)
  expect(() => toPixels(NdArray.zeros([1, 3, 2, 2]))).toThrow(ShapeError)
})

test.each<Kernel>(['box', 'bilinear', 'bicubic', 'lanczos'])('%s is within one level of Pillow, up and down', (kernel) => {
  const source = toTensor(pixelsIn('source'))
  for (const [width, height] of [
    [9, 7],
    [23, 17],
    [40, 31],
    [5, 60],
  ] as const) {
    const ours = toPixels(resize(source, { width, height, kernel, range: [-1, 1] }))
    expect(maxDifference(ours, pixelsIn(`${kernel}.${width}x${height}`))).toBeLessThanOrEqual(1)
  }
})

test('resizing keeps constants, whatever the sizes and the kernel', () => {
  const side = fc.integer({ min: 1, max: 40 })
  fc.assert(
    fc.property(
      side,
      side,
      side,
      side,
      fc.constantFrom<Kernel>('box', 'bilinear', 'bicubic', 'lanczos'),
      (H, W, height, width, kernel) => {
        const out = resize(NdArray.full([2, H, W], 0.7), { width, height, kernel })
        expect(out.shape).toEqual([2, height, width])
        for (const value of out.data) expect(Math.abs(value - 0.7)).toBeLessThan(1e-5)
      },
    ),
    { numRuns: 200 },
  )
})

test('a grid puts pictures in rows with gaps, and knows batches', () => {
  const [red, blue] = [solid(2, 3, [255, 0, 0]), solid(2, 3, [0, 0, 255])]
  const grid = imageGrid([red, blue, blue], { columns: 2, gap: 1, background: [9, 9, 9] })
  expect(grid.shape).toEqual([7, 9, 3])
  const at = (y: number, x: number) => [...grid.data.subarray((y * 9 + x) * 3, (y * 9 + x) * 3 + 3)]
  expect([at(0, 0), at(1, 1), at(2, 3), at(1, 4), at(1, 5), at(4, 1), at(4, 5)]).toEqual([
    [9, 9, 9],
    [255, 0, 0],
    [255, 0, 0],
    [9, 9, 9],
    [0, 0, 255],
    [0, 0, 255],
    [9, 9, 9],
  ])
  expect(imageGrid(NdArray.full([5, 3, 4, 4], 1)).shape).toEqual([2 * 6 + 2, 3 * 6 + 2, 3])
  expect(imagesOf(NdArray.full([5, 3, 4, 4], 1))).toHaveLength(5)
  expect(() => imageGrid([red, solid(3, 3, [0, 0, 0])])).toThrow('picture 1 is 3 × 3, picture 0 is 3 × 2')
  expect(() => imageGrid([])).toThrow(ArgumentError)
})

test('alpha is laid over the background', () => {
  expect([...toRgb(solid(1, 1, [200, 100, 0, 51]), [100, 100, 100]).data]).toEqual([120, 100, 80])
  expect([...toRgb(solid(1, 1, [7])).data]).toEqual([7, 7, 7])
})
