import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { fontFamily, loadFonts } from './fonts.ts'
import type { Colour, Pixels } from './pixels.ts'
import { drawSvg } from './svg.ts'

/** Points of one colour, [N, 2], drawn as discs; with `tips` [N, 2], as strokes from each point to its tip. */
export interface ParticleLayer {
  readonly points: NdArray
  readonly tips?: NdArray
  readonly colour: Colour
  /** Pixels; 1.6 by default. */
  readonly radius?: number
  readonly opacity?: number
}

export interface ParticlePanel {
  readonly title?: string
  /** A line below the points. */
  readonly note?: string
  readonly layers: readonly ParticleLayer[]
}

export interface ParticleOptions {
  /** Pixels a side of a panel. */
  readonly side?: number
  /** Panels show [−range, range]², what lies outside is left out. */
  readonly range?: number
  /** Panels a row. */
  readonly columns?: number
}

const frame = { margin: 18, gap: 18, title: 30, note: 26 }
const background: Colour = [244, 246, 250]

/**
 * Panels of points in the plane, side by side, with their titles.
 *
 * @returns pixels [H, W, 3]
 * @throws ArgumentError without panels, or for points that are not [N, 2]
 */
export async function drawParticles(
  panels: readonly ParticlePanel[],
  { side = 300, range = 2.5, columns = panels.length }: ParticleOptions = {},
): Promise<Pixels> {
  if (panels.length === 0) throw new ArgumentError('drawParticles: no panels')
  const top = panels.some(({ title }) => title) ? frame.title : 0
  const bottom = panels.some(({ note }) => note) ? frame.note : 0
  const rows = Math.ceil(panels.length / columns)
  const width = 2 * frame.margin + columns * side + (columns - 1) * frame.gap
  const height = 2 * frame.margin + rows * (top + side + bottom) + (rows - 1) * frame.gap
  const places = panels.map((_, i) => ({
    x: frame.margin + (i % columns) * (side + frame.gap),
    y: frame.margin + Math.floor(i / columns) * (top + side + bottom + frame.gap) + top,
  }))
  const out = await page(panels, places, { width, height, side })
  for (const [i, { layers }] of panels.entries()) {
    const canvas: Canvas = { pixels: out, left: places[i]?.x as number, top: places[i]?.y as number, side, range }
    for (const layer of layers) drawLayer(canvas, layer)
  }
  return out
}

interface Canvas {
  readonly pixels: Pixels
  readonly left: number
  readonly top: number
  readonly side: number
  readonly range: number
}

/** Pages without points by their text: in a film the same ones come again and again. */
const pages = new Map<string, Pixels>()

/** Grounds of the panels and all texts. */
async function page(
  panels: readonly ParticlePanel[],
  places: readonly { x: number; y: number }[],
  { width, height, side }: { width: number; height: number; side: number },
): Promise<Pixels> {
  const safe = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  const text = (x: number, y: number, words: string | undefined, style: string) =>
    words ? `<text x="${x}" y="${y}" ${style}>${safe(words)}</text>` : ''
  const parts = panels.map(({ title, note }, i) => {
    const { x, y } = places[i] as { x: number; y: number }
    return `<rect x="${x}" y="${y}" width="${side}" height="${side}" rx="6" fill="rgb(${background})"/>
${text(x, y - 11, title, 'font-size="15" font-weight="600" fill="#0f172a"')}
${text(x, y + side + 19, note, 'font-size="13" fill="#475569"')}`
  })
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="${fontFamily}">
<rect width="${width}" height="${height}" fill="#fff"/>${parts.join('')}</svg>`
  const known = pages.get(svg)
  if (known) return new NdArray(known.data.slice(), known.shape, 'u8')
  await loadFonts()
  const drawn = await drawSvg(svg, 'drawParticles')
  const rgb = new NdArray(
    drawn.data.filter((_, i) => i % 4 !== 3),
    [height, width, 3],
    'u8',
  )
  if (pages.size > 20) pages.clear()
  pages.set(svg, rgb)
  return new NdArray(rgb.data.slice(), rgb.shape, 'u8')
}

function drawLayer(canvas: Canvas, { points, tips, colour, radius = 1.6, opacity = 0.75 }: ParticleLayer): void {
  const [count, size] = points.shape
  if (points.shape.length !== 2 || size !== 2)
    throw new ArgumentError(`drawParticles: expected points [N, 2], got [${points.shape.join(', ')}]`)
  const at = (of: NdArray, i: number) => [toPixel(canvas, Number(of.data[2 * i])), toPixel(canvas, -Number(of.data[2 * i + 1]))]
  for (let i = 0; i < (count as number); i++) {
    const [x, y] = at(points, i) as [number, number]
    if (!tips) {
      drawDisc(canvas, x, y, radius, colour, opacity)
      continue
    }
    const [u, v] = at(tips, i) as [number, number]
    const dots = Math.max(1, Math.ceil(Math.hypot(u - x, v - y)))
    for (let k = 0; k <= dots; k++)
      drawDisc(canvas, x + ((u - x) * k) / dots, y + ((v - y) * k) / dots, 0.5 + radius * (k / dots) * 0.5, colour, opacity)
  }
}

const toPixel = ({ side, range }: Canvas, value: number) => ((value / range + 1) / 2) * side

/** A disc with a soft edge of one pixel, blended over what is there; nothing beyond the panel. */
function drawDisc(
  { pixels, left, top, side }: Canvas,
  x: number,
  y: number,
  radius: number,
  colour: Colour,
  opacity: number,
): void {
  const reach = radius + 0.5
  if (!(x > reach && y > reach && x < side - reach && y < side - reach)) return
  const width = pixels.shape[1] as number
  for (let row = Math.floor(y - reach); row <= y + reach; row++)
    for (let column = Math.floor(x - reach); column <= x + reach; column++) {
      const cover = Math.min(1, reach - Math.hypot(column + 0.5 - x, row + 0.5 - y)) * opacity
      if (cover <= 0) continue
      const at = ((top + row) * width + left + column) * 3
      for (let c = 0; c < 3; c++) {
        const below = pixels.data[at + c] as number
        pixels.data[at + c] = Math.round(below + ((colour[c] as number) - below) * cover)
      }
    }
}
