import { expect, test } from 'vitest'
import { NdArray } from '../runtime/ndarray.ts'
import { ImageError } from './errors.ts'
import { checkPicture, pictureFault } from './range.ts'

const line = (...values: number[]) => NdArray.from(values, [1, 1, values.length])

test('a picture may go beyond its range by the width of the range, and is finite', () => {
  for (const values of [[-1, 0, 1], [-3, 3], [1.2, -1.01], []]) expect(pictureFault(line(...values))).toBeUndefined()
  for (const value of [3.001, -3.001, 255, Number.NaN, Number.POSITIVE_INFINITY])
    expect(pictureFault(line(0, value)), String(value)).toContain('element 1')
  expect(pictureFault(line(2, -1), [0, 1])).toBeUndefined()
  expect(pictureFault(line(0.5, 2.25), [0, 1])).toContain('values in [0, 1], and element 1 of this one is 2.25')
  expect(pictureFault(new NdArray(Uint8Array.of(0, 255), [1, 1, 2], 'u8'))).toBeUndefined()
})

test('the error names the place, the value and the remedy', () => {
  checkPicture(line(-1, 1), 'image')
  expect(() => checkPicture(line(0, 7), 'image')).toThrow(ImageError)
  expect(() => checkPicture(line(0, 7), 'image')).toThrow(
    'image: a picture has values in [−1, 1], and element 1 of this one is 7: bring levels x of 0 … 255 to x / 127.5 − 1',
  )
  expect(() => checkPicture(line(200), 'image', [0, 1])).toThrow('bring levels x of 0 … 255 to x / 255')
})
