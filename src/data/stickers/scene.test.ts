import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { resize } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type Icon, type Style, stickerCatalogue } from './catalogue.ts'
import { loadRasters, type Rasters, rasterSize } from './rasters.ts'
import { type Background, backgroundNames, backgrounds, drawScene, type Scene } from './scene.ts'

const folder = mkdtempSync(join(tmpdir(), 'langevin-scene-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('drawing', () => {
  const fox = stickerCatalogue().find(({ name }) => name === 'fox') as Icon
  let rasters: Map<Style, Rasters>
  beforeAll(async () => {
    rasters = new Map([['noto', await loadRasters('noto', { folder, icons: [fox] })]])
  })
  const scene = (x: number, y: number, size: number, background: Background = 'blue'): Scene => ({
    background,
    objects: [{ icon: fox, style: 'noto', x, y, size }],
  })
  const value = (level: number) => (2 * level) / 255 - 1

  test('a scene without objects is its ground', () => {
    for (const background of backgroundNames) {
      const out = drawScene({ background, objects: [] }, rasters, 4)
      for (const [c, level] of backgrounds[background].entries())
        for (const v of out.subarray(c * 16, c * 16 + 16)) expect(v).toBeCloseTo(value(level), 6)
    }
  })

  test('an icon that fills a picture is its raster, resized and laid over the ground', () => {
    const raster = rasters.get('noto')?.of(fox) as Uint8Array
    const planes = new NdArray(
      Float32Array.from({ length: raster.length }, (_, i) => {
        const n = rasterSize ** 2
        return (raster[(i % n) * 4 + Math.floor(i / n)] as number) / 255
      }),
      [4, rasterSize, rasterSize],
      'f32',
    )
    for (const side of [96, 64, 31, 120]) {
      const small = resize(planes, { width: side, height: side, kernel: 'bicubic' })
      const out = drawScene(scene(0.5, 0.5, 1), rasters, side)
      const n = side * side
      let worst = 0
      for (let c = 0; c < 3; c++)
        for (let i = 0; i < n; i++) {
          // At the border the two kernels differ: beyond an icon there is nothing, beyond a picture its edge goes on.
          if (Math.min(i % side, side - 1 - (i % side), Math.floor(i / side), side - 1 - Math.floor(i / side)) < 2) continue
          // The kernel overshoots at edges: alpha and colour are clipped to their ranges.
          const alpha = Math.min(1, Math.max(0, small.data[3 * n + i] as number))
          const colour = Math.min(alpha, Math.max(0, small.data[c * n + i] as number))
          const expected = value(backgrounds.blue[c] as number) * (1 - alpha) + 2 * colour - alpha
          worst = Math.max(worst, Math.abs(expected - (out[c * n + i] as number)))
        }
      expect(worst).toBeLessThan(1e-5)
    }
  })

  test('moving an icon by whole pixels moves the picture, beyond its border too', () => {
    const side = 40
    const at = (out: Float32Array, c: number, y: number, x: number) => out[(c * side + y) * side + x] as number
    const here = drawScene(scene(0.5, 0.5, 0.5), rasters, side)
    const there = drawScene(scene(0.5 + 13 / side, 0.5 - 15 / side, 0.5), rasters, side)
    let worst = 0
    for (let c = 0; c < 3; c++)
      for (let y = 15; y < side; y++)
        for (let x = 0; x < side - 13; x++) worst = Math.max(worst, Math.abs(at(here, c, y, x) - at(there, c, y - 15, x + 13)))
    expect(worst).toBeLessThan(1e-5)
    const gone = drawScene(scene(3, 3, 0.5), rasters, side)
    expect(gone).toEqual(drawScene({ background: 'blue', objects: [] }, rasters, side))
  })

  test('moving an icon by half a pixel changes the picture but not its mean', () => {
    const mean = (x: number) => drawScene(scene(x, 0.5, 0.6), rasters, 32).reduce((a, b) => a + b, 0) / 3072
    expect(drawScene(scene(0.5, 0.5, 0.6), rasters, 32)).not.toEqual(drawScene(scene(0.5 + 0.5 / 32, 0.5, 0.6), rasters, 32))
    expect(Math.abs(mean(0.5) - mean(0.5 + 0.5 / 32))).toBeLessThan(2e-3)
  })
})
