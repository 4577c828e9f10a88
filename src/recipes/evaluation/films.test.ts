import { expect, test } from 'vitest'
import { filmDataset, sceneNouns } from '../../data/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { type FilmFact, filmFacts, judgeFilm, trackFilm } from './film-tracking.ts'
import { filmTable } from './films.ts'

const shape = { width: 48, height: 48, frames: 17, rate: 8 }
const films = await filmDataset({ styles: ['noto'], nouns: sceneNouns().slice(0, 24) })
const count = 80

function shares(judge: (at: number) => ReturnType<typeof judgeFilm>): Record<FilmFact, number> {
  const all = Array.from({ length: count }, (_, at) => judge(at))
  const sum = (fact: FilmFact, key: 'right' | 'asked') => all.reduce((total, one) => total + one[fact][key], 0)
  return Object.fromEntries(filmFacts.map((fact) => [fact, sum(fact, 'right') / sum(fact, 'asked')])) as Record<FilmFact, number>
}
const filmOf = (at: number) => films.render(films.filmAt(at, shape), shape)

test('the tracker finds what real films show', () => {
  const found = shares((at) => judgeFilm(trackFilm(filmOf(at)), films.filmAt(at, shape).motion, shape))
  for (const fact of filmFacts) expect(found[fact], fact).toBeGreaterThan(0.9)
})

test('films of other motions, pictures in another order, and noise do not show it', () => {
  const other = shares((at) => judgeFilm(trackFilm(filmOf(at + 1000)), films.filmAt(at, shape).motion, shape))
  expect(Math.max(other.direction, other.change)).toBeLessThan(0.6)
  const backwards = (frames: NdArray<'f32'>) => trackFilm(frames).reverse()
  const turned = Array.from({ length: count }, (_, at) => at).filter((at) => films.filmAt(at, shape).motion.kind === 'move')
  for (const at of turned) expect(judgeFilm(backwards(filmOf(at)), films.filmAt(at, shape).motion, shape).direction.right).toBe(0)
  const empty = new Generator(0).randn([17, 3, 48, 48]).mul(0.05).cast('f32')
  expect(judgeFilm(trackFilm(empty), { kind: 'move', direction: 'left', speed: 'fast' }, shape)).toMatchObject({
    permanence: { right: 0, asked: 17 },
    direction: { right: 0, asked: 1 },
  })
})

test('a table has a row for each way and split, and a dash for what was not asked', () => {
  const rate = { share: 0.5, low: 0.25, high: 0.75, asked: 8 }
  const rates = { permanence: rate, direction: rate, speed: { ...rate, asked: 0 }, change: rate }
  const table = filmTable({
    model: 'm',
    num: 4,
    steps: 2,
    guidance: 4,
    seed: 0,
    scores: [{ of: 'model', split: 'motions', films: 4, rates }],
  })
  expect(table[1]).toEqual([
    '4 of motions',
    'the model',
    '50.0 % (25.0 % to 75.0 %)',
    '50.0 % (25.0 % to 75.0 %)',
    '–',
    '50.0 % (25.0 % to 75.0 %)',
  ])
})
