import { type Colour, taps } from '../../images/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Icon, Style } from './catalogue.ts'
import type { Rasters } from './rasters.ts'

/** The colours of backgrounds, by the word for each. */
export const backgrounds = {
  red: [222, 66, 66],
  orange: [246, 139, 51],
  yellow: [252, 211, 77],
  green: [74, 172, 104],
  teal: [36, 161, 156],
  blue: [66, 118, 224],
  purple: [139, 92, 214],
  pink: [244, 154, 194],
  brown: [134, 92, 62],
  grey: [152, 160, 170],
  black: [30, 31, 36],
  white: [250, 250, 248],
} as const satisfies Record<string, Colour>
export type Background = keyof typeof backgrounds
export const backgroundNames = Object.keys(backgrounds) as Background[]

/** An icon in a picture: centre and side as fractions of the picture's side, from the top left. */
export interface SceneObject {
  readonly icon: Icon
  readonly style: Style
  readonly x: number
  readonly y: number
  readonly size: number
}

/** The content of a picture, enough to draw it; later objects cover earlier ones. */
export interface Scene {
  readonly background: Background
  /** @deprecated Read `background`, which is the same. */
  readonly ground?: Background
  readonly objects: readonly SceneObject[]
}

/** A scene's background, or the `ground` that a caller sets by that earlier name. */
export const backgroundOf = ({ background, ground }: Pick<Scene, 'background' | 'ground'>): Background => ground ?? background

/** Draws a scene into plane-by-plane RGB: `out` holds [3, side, side] and gets values in [−1, 1]. */
export function drawScene(
  scene: Scene,
  rasters: ReadonlyMap<Style, Pick<Rasters, 'of'>>,
  side: number,
  out: NdArray<'f32'>['data'] = new Float32Array(3 * side * side),
): Float32Array {
  const plane = side * side
  for (const [c, level] of backgrounds[backgroundOf(scene)].entries()) out.fill((2 * level) / 255 - 1, c * plane, (c + 1) * plane)
  for (const { icon, style, x, y, size } of scene.objects)
    drawRaster(
      (rasters.get(style) as Pick<Rasters, 'of'>).of(icon),
      size * side,
      (x - size / 2) * side,
      (y - size / 2) * side,
      side,
      out,
    )
  return out
}

let scratch = new Float32Array(0)

/** Lays an icon of `size` pixels a side over a picture, its top left corner at (left, top), fractions of pixels included. */
function drawRaster(raster: Uint8Array, size: number, left: number, top: number, side: number, out: Float32Array): void {
  const rasterSize = Math.sqrt(raster.length / 4)
  const step = rasterSize / size
  const across = span(left, size, side)
  const down = span(top, size, side)
  if (across.count <= 0 || down.count <= 0) return
  const columns = taps(rasterSize, across.count, 'bicubic', { step, shift: left - across.from, edge: 'zero' })
  const rows = taps(rasterSize, down.count, 'bicubic', { step, shift: top - down.from, edge: 'zero' })
  const width = across.count * 4
  if (scratch.length < rasterSize * width) scratch = new Float32Array(rasterSize * width)
  const lines = scratch
  for (let v = 0; v < rasterSize; v++)
    for (let x = 0; x < across.count; x++) {
      let r = 0
      let g = 0
      let b = 0
      let a = 0
      const taken = columns.count[x] as number
      let at = (v * rasterSize + (columns.first[x] as number)) * 4
      for (let k = x * columns.width; k < x * columns.width + taken; k++, at += 4) {
        const weight = columns.weights[k] as number
        r += weight * (raster[at] as number)
        g += weight * (raster[at + 1] as number)
        b += weight * (raster[at + 2] as number)
        a += weight * (raster[at + 3] as number)
      }
      const to = v * width + x * 4
      lines[to] = r
      lines[to + 1] = g
      lines[to + 2] = b
      lines[to + 3] = a
    }
  const plane = side * side
  for (let y = 0; y < down.count; y++)
    for (let x = 0; x < across.count; x++) {
      let r = 0
      let g = 0
      let b = 0
      let a = 0
      const taken = rows.count[y] as number
      let at = (rows.first[y] as number) * width + x * 4
      for (let k = y * rows.width; k < y * rows.width + taken; k++, at += width) {
        const weight = rows.weights[k] as number
        r += weight * (lines[at] as number)
        g += weight * (lines[at + 1] as number)
        b += weight * (lines[at + 2] as number)
        a += weight * (lines[at + 3] as number)
      }
      // The kernel overshoots at edges: alpha and colour are clipped to their ranges.
      const alpha = Math.min(1, Math.max(0, a / 255))
      if (alpha === 0) continue
      const pixel = (down.from + y) * side + across.from + x
      out[pixel] = over(out[pixel] as number, r / 255, alpha)
      out[pixel + plane] = over(out[pixel + plane] as number, g / 255, alpha)
      out[pixel + 2 * plane] = over(out[pixel + 2 * plane] as number, b / 255, alpha)
    }
}

/** A colour (0–1, alpha multiplied in) over a value in [−1, 1] (Porter and Duff 1984). */
function over(below: number, colour: number, alpha: number): number {
  return below * (1 - alpha) + 2 * Math.min(alpha, Math.max(0, colour)) - alpha
}

/** The whole pixels that a stretch touches, the kernel's tail of one pixel included, cut at the picture's border. */
function span(start: number, size: number, side: number): { from: number; count: number } {
  const from = Math.max(0, Math.floor(start) - 1)
  return { from, count: Math.min(side, Math.ceil(start + size) + 1) - from }
}
