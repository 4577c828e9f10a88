import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { avgPool } from '../../../core/functions.ts'
import { input, type Tensor } from '../../../core/tensor.ts'
import { sceneDataset } from '../../../data/index.ts'
import { evaluate } from '../../../runtime/index.ts'
import { Generator } from '../../../runtime/random.ts'
import { locality, twinsOf } from './locality.ts'

const folder = mkdtempSync(join(tmpdir(), 'langevin-locality-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const [batch, side, cells] = [8, 64, 16]
const dataset = await sceneDataset({ size: side, styles: ['noto'], folder })
const given = await dataset.batch([...Array(batch).keys()])
const found = twinsOf(given, dataset.render, new Generator(0), { cells, margin: 1 })

test('twins have another background, and are kept where a cell and its neighbours show the same', () => {
  const pixel = (x: typeof found.twins, n: number, row: number, column: number) =>
    [0, 1, 2].map((c) => x.data[((n * 3 + c) * side + row) * side + column] as number)
  const same = (n: number, row: number, column: number) =>
    pixel(given.images, n, row, column).every((value, c) => {
      return Math.abs(value - (pixel(found.twins, n, row, column)[c] as number)) < 0.02
    })
  let kept = 0
  for (let n = 0; n < batch; n++)
    for (let y = 0; y < cells; y++)
      for (let x = 0; x < cells; x++) {
        const around = Array.from({ length: 144 }, (_, i) => [4 * (y - 1) + Math.floor(i / 12), 4 * (x - 1) + (i % 12)] as const)
        const inside = around.filter((place) => place.every((at) => at >= 0 && at < side))
        const expected = inside.every(([row, column]) => same(n, row, column))
        expect(found.kept.data[(n * cells + y) * cells + x], `${n} ${y} ${x}`).toBe(Number(expected))
        kept += Number(expected)
      }
  expect(kept).toBeGreaterThan(batch)
  expect(kept).toBeLessThan((batch * cells * cells) / 2)
})

test('locality is 0 for an encoder that sees its cell alone, and more the more it sees of the rest', async () => {
  const images = input('images', given.images.shape)
  const local = (x: Tensor) => avgPool(x, 4)
  const seeing = (share: number) => (x: Tensor) => local(x).sub(x.mean([2, 3], true).mul(share))
  const of = async (encode: (x: Tensor) => Tensor) => {
    const outputs = { value: locality(images, encode(images), encode) }
    const feeds = { images: given.images, twins: found.twins, kept: found.kept }
    return (await evaluate(outputs, feeds)).value?.item() as number
  }
  const some = await of(seeing(0.3))
  expect(await of(local)).toBeLessThan(1e-5)
  expect(some).toBeGreaterThan(0.01)
  expect(await of(seeing(1))).toBeGreaterThan(some)
})
