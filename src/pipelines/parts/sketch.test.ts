import { expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { Generator, NdArray } from '../../runtime/index.ts'
import type { LatentCoder } from './autoencoder.ts'
import { fitLinear } from './least-squares.ts'
import { sketched } from './sketch.ts'

test('an affine map is found from points of it', () => {
  const points = [...new Generator(0).randn([50, 3]).data].map(Number)
  const rows = Array.from({ length: 50 }, (_, i) => points.slice(3 * i, 3 * i + 3))
  const found = fitLinear(
    rows,
    rows.map(([a = 0, b = 0, c = 0]) => [2 * a - b + 0.5, c - 3]),
  )
  const wanted = [
    [2, -1, 0, 0.5],
    [0, 0, 1, -3],
  ]
  for (const [i, row] of wanted.entries())
    for (const [j, value] of row.entries()) expect(Math.abs((found[i]?.[j] as number) - value)).toBeLessThan(1e-4)
  // Points that do not vary give their mean.
  expect(fitLinear([[1], [1]], [[2], [4]])[0]?.reduce((a, b) => a + b)).toBeCloseTo(3, 4)
})

test('of an autoencoder that is affine the outline is the picture itself, and only the middle is decoded', async () => {
  const z = new Generator(1).randn([1, 4, 20, 40])
  const colours = (x: NdArray<'f32'>) =>
    NdArray.concat(
      [0, 1, 2].map((c) =>
        x
          .slice(1, c, c + 1)
          .mul(0.2)
          .add(x.slice(1, 3, 4).mul(0.1))
          .sub(0.05 * c),
      ),
      1,
    ).cast('f32')
  const seen: (readonly number[])[] = []
  const decode = async (x: NdArray<'f32'>) => {
    seen.push(x.shape)
    const small = colours(x)
    const [B, C, h, w] = small.shape as [number, number, number, number]
    return small
      .reshape([B, C, h, 1, w, 1])
      .expand([B, C, h, 8, w, 8])
      .reshape([B, C, 8 * h, 8 * w])
      .cast('f32')
  }
  const found = await sketched(z, { factor: 8, decode } as unknown as LatentCoder)
  expect(seen).toEqual([[1, 4, 16, 16]])
  expect(maxDifference(found, colours(z))).toBeLessThan(1e-4)
})
