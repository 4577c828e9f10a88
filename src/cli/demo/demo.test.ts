import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, expect, test } from 'vitest'
import { GaussianMixture, levelOf, ve } from '../../diffusion/index.ts'
import { Generator } from '../../runtime/random.ts'
import { main } from '../program.ts'
import { descentFilm, processFilm } from './films.ts'
import { measurePaths } from './paths.ts'
import { energyDistanceTo, solverChart } from './samplers.ts'
import { planeSet, setNames } from './sets.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-demo-'))
afterAll(() => rmSync(desk, { recursive: true }))

async function langevin(...args: string[]) {
  const written = { out: '', err: '' }
  const io = {
    out: { write: (text: string) => (written.out += text) },
    err: { write: (text: string) => (written.err += text) },
  }
  return { code: await main(args, io), ...written }
}

const two = new GaussianMixture([
  { weight: 1, mean: [-1, 0], std: 0.3 },
  { weight: 1, mean: [1, 0], std: 0.3 },
])
const lengths = (points: { shape: readonly number[]; data: ArrayLike<number | bigint> }) =>
  Array.from({ length: points.shape[0] as number }, (_, i) =>
    Math.hypot(Math.abs(Number(points.data[2 * i])) - 1, Number(points.data[2 * i + 1])),
  )

test('the gradient alone ends on the modes, Langevin spreads as the distribution does', async () => {
  const { frames } = await descentFilm(two, { particles: 300, seed: 0 }, 60)
  const [still, moving] = frames.at(-1)!.map(({ layers }) => lengths(layers[0]!.points))
  expect(Math.max(...still!)).toBeLessThan(0.05)
  const meanSquare = moving!.reduce((sum, d) => sum + d * d, 0) / 300
  expect(meanSquare / (2 * 0.3 ** 2)).toBeGreaterThan(0.8)
  expect(meanSquare / (2 * 0.3 ** 2)).toBeLessThan(1.25)
})

test('the process starts at data, ends at noise, and both ways back lead to the data', async () => {
  const { frames } = await processFilm(two, { particles: 300, seed: 0 }, 40)
  const points = (frame: number, panel: number) => frames.at(frame)![panel]!.layers[0]!.points.cast('f32')
  const distance = energyDistanceTo(two.sample(300, new Generator(9)))
  for (const [frame, panel] of [
    [0, 0],
    [-1, 1],
    [-1, 2],
  ] as const)
    expect(distance(points(frame, panel))).toBeLessThan(0.03)
  for (const [frame, panel] of [
    [-1, 0],
    [0, 1],
    [0, 2],
  ] as const) {
    expect(distance(points(frame, panel))).toBeGreaterThan(0.05)
    expect(points(frame, panel).square().mean().item()).toBeCloseTo(1, 0)
  }
})

test.each(setNames)('%s lies within the panel', async (name) => {
  const set = await planeSet(name, 'ab')
  expect(Math.max(...set.components.flatMap(({ mean }) => mean.map(Math.abs)))).toBeLessThan(2.4)
  expect(set.components.length).toBeGreaterThan(10)
  expect(set.logDensity(set.sample(5, new Generator(0)), levelOf(ve, 0)).every(Number.isFinite)).toBe(true)
})

test('errors of the solvers fall, and higher orders win', async () => {
  const { series } = await solverChart(two, 0)
  const last = new Map(series.map(({ name, points }) => [name, points.at(-1)![1]]))
  for (const { points } of series) expect(points.at(-1)![1]).toBeLessThan(points[0]![1] / 5)
  expect(last.get('UniPC (3)')).toBeLessThan((last.get('Euler = DDIM') as number) / 20)
})

test('writes a strip and a film; the same seed gives the same file', async () => {
  const [a, b, film] = ['a.png', 'b.png', 'c.webp'].map((name) => join(desk, name)) as [string, string, string]
  const small = ['--particles', '20', '--set', 'moons', '--seed', '3']
  const first = await langevin('demo', 'process', '--out', a, ...small)
  expect(first).toMatchObject({ code: 0, out: `${a}\n` })
  await langevin('demo', 'process', '--out', b, ...small)
  expect(readFileSync(a).equals(readFileSync(b))).toBe(true)
  expect(JSON.parse((await langevin('demo', '--out', film, '--json', ...small)).out)).toMatchObject({ file: film, seed: 3 })
  const { pages, delay } = await sharp(film, { pages: -1 }).metadata()
  expect(pages).toBe(61)
  expect(delay?.at(-1)).toBe(2000)
})

test('refuses what it cannot draw', async () => {
  expect(await langevin('demo', 'solvers', '--out', 'x.webp')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/does not move/),
  })
  expect(await langevin('demo', '--out', 'x.gif')).toMatchObject({ code: 2, err: expect.stringMatching(/\.webp or \.png/) })
  expect(await langevin('demo', '--set', 'letters', '--text', ' ', '--out', join(desk, 'd.png'))).toMatchObject({
    code: 2,
    err: expect.stringMatching(/nothing to draw/),
  })
})

test('in two steps, networks of straight paths draw points that lie closer than those of DDPM’s path', {
  timeout: 120_000,
}, async () => {
  const set = await planeSet('moons', '')
  const points = await measurePaths(set, { steps: 150, repeats: 1, seed: 0, distanceTo: energyDistanceTo })
  const [ddim, uniform, normal] = points.filter(({ steps }) => steps === 2)
  expect(uniform!.distance).toBeLessThan(ddim!.distance * 0.8)
  expect(normal!.distance).toBeLessThan(ddim!.distance * 0.8)
})
