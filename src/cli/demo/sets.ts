import { ArgumentError } from '../../core/errors.ts'
import { GaussianMixture, type NdArray } from '../../diffusion/index.ts'
import { drawSvg } from '../../images/svg.ts'
import { Generator } from '../../runtime/random.ts'

export const setNames = ['swiss-roll', 'moons', 'rings', 'letters'] as const
export type SetName = (typeof setNames)[number]

type Point = readonly [number, number]

const along = (count: number, at: (u: number) => Point): Point[] => Array.from({ length: count }, (_, i) => at((i + 0.5) / count))

/** Curves whose points lie at even lengths, so that no part of the set is denser. */
const curves: Readonly<Record<Exclude<SetName, 'letters'>, (count: number) => Point[]>> = {
  'swiss-roll': (count) =>
    along(count, (u) => {
      const phi = Math.PI * Math.sqrt(2.25 + u * (20.25 - 2.25))
      return [0.145 * phi * Math.cos(phi), 0.145 * phi * Math.sin(phi)]
    }),
  moons: (count) => [
    ...along(count / 2, (u) => [1.2 * Math.cos(Math.PI * u) - 0.6, 1.2 * Math.sin(Math.PI * u) - 0.3] as Point),
    ...along(count / 2, (u) => [0.6 - 1.2 * Math.cos(Math.PI * u), 0.3 - 1.2 * Math.sin(Math.PI * u)] as Point),
  ],
  rings: (count) => [
    ...along(Math.round(count * 0.7), (u) => [1.8 * Math.cos(2 * Math.PI * u), 1.8 * Math.sin(2 * Math.PI * u)] as Point),
    ...along(Math.round(count * 0.3), (u) => [0.8 * Math.cos(2 * Math.PI * u), 0.8 * Math.sin(2 * Math.PI * u)] as Point),
  ],
}

/**
 * A set in the plane, within [−2, 2]², as a mixture of small Gaussians: everything about it is known in closed form.
 *
 * @param text what the letters say
 */
export async function planeSet(name: SetName, text: string): Promise<GaussianMixture> {
  if (name === 'letters') return mixtureOf(await letterPoints(text), 0.06)
  const counts = { 'swiss-roll': 44, moons: 30, rings: 60 }
  return mixtureOf(curves[name](counts[name]), 0.1)
}

const mixtureOf = (points: readonly Point[], std: number) => new GaussianMixture(points.map((mean) => ({ weight: 1, mean, std })))

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
