import { ArgumentError } from '../../core/errors.ts'
import type { GaussianMixture, NdArray } from '../../diffusion/index.ts'
import { drawSvg } from '../../images/svg.ts'
import { Generator } from '../../runtime/random.ts'
import { curveNames, curveSet, mixtureOf, type Point } from './curves.ts'

export const setNames = [...curveNames, 'letters'] as const
export type SetName = (typeof setNames)[number]

/**
 * A set in the plane, within [−2, 2]², as a mixture of small Gaussians: everything about it is known in closed form.
 *
 * @param text what the letters say
 */
export async function planeSet(name: SetName, text: string): Promise<GaussianMixture> {
  if (name === 'letters') return mixtureOf(await letterPoints(text), 0.06)
  return curveSet(name)
}

/** Points spread over the strokes of a text: of the pixels that it covers, each the farthest from those before it. */
async function letterPoints(text: string, count = 130): Promise<Point[]> {
  const [width, height, size] = [160 * Math.max(2, text.length), 260, 150]
  const { loadFonts, fontFamily } = await import('../../images/fonts.ts')
  await loadFonts()
  const safe = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  const drawn = await drawSvg(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><text x="50%" y="180" text-anchor="middle"
font-family="${fontFamily}" font-weight="600" font-size="${size}">${safe}</text></svg>`,
    'letters',
  )
  const covered: Point[] = []
  for (let y = 0; y < height; y += 3)
    for (let x = 0; x < width; x += 3) if ((drawn.data[(y * width + x) * 4 + 3] as number) > 200) covered.push([x, -y])
  if (covered.length === 0) throw new ArgumentError(`--text: nothing to draw in ${JSON.stringify(text)}`)
  const fitted = scaled(covered)
  const chosen = [fitted[0] as Point]
  const nearest = fitted.map(() => Infinity)
  while (chosen.length < Math.min(count, fitted.length)) {
    const [u, v] = chosen.at(-1) as Point
    let far = 0
    for (const [i, [x, y]] of fitted.entries()) {
      nearest[i] = Math.min(nearest[i] as number, (x - u) ** 2 + (y - v) ** 2)
      if ((nearest[i] as number) > (nearest[far] as number)) far = i
    }
    chosen.push(fitted[far] as Point)
  }
  return chosen
}

/** Centred and scaled into [−2, 2]². */
function scaled(points: readonly Point[]): Point[] {
  const [left, right, low, high] = points.reduce(
    ([a, b, c, d], [x, y]) => [Math.min(a, x), Math.max(b, x), Math.min(c, y), Math.max(d, y)],
    [Infinity, -Infinity, Infinity, -Infinity],
  ) as [number, number, number, number]
  const scale = 4 / Math.max(right - left, high - low, 1)
  return points.map(([x, y]) => [(x - (left + right) / 2) * scale, (y - (low + high) / 2) * scale])
}

/** Points of a set. */
export const drawSet = (set: GaussianMixture, count: number, seed: number): NdArray =>
  set.sample(count, new Generator(seed).fork('data'))
