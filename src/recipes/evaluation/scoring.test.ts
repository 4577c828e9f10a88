import { describe, expect, test } from 'vitest'
import { type ComposedScene, type Described, nounsOf } from '../../data/index.ts'
import type { Finding } from '../../pipelines/index.ts'
import { Generator } from '../../runtime/random.ts'
import { bootstrapRates } from './bootstrap.ts'
import { facts, ratesOf, scoreScene, type Tally } from './scoring.ts'
import { bestGuidance } from './text-to-image.ts'

const [apple, bear] = nounsOf({ 'red apple': 'apple', bear: 'bear' }) as [
  ComposedScene['groups'][0]['noun'],
  ComposedScene['groups'][0]['noun'],
]
/** Two apples left of a bear, on blue. */
const scene: ComposedScene = {
  background: 'blue',
  style: 'flat',
  axis: 'x',
  groups: [
    { noun: apple, count: 2 },
    { noun: bear, count: 1, size: 'large' },
  ],
  objects: [],
}
const at = (name: string, x: number, y = 0.5) => ({ name, x, y, size: 0.4, probability: 0.9 })
const right: Finding = {
  objects: [at('red apple', 0.2, 0.2), at('red apple', 0.3, 0.8), at('bear', 0.7)],
  answers: { ground: 'blue', style: 'flat' },
}
const score = (finding: Finding, described?: Described, of = scene) => {
  const tally = scoreScene(of, described, finding)
  return Object.fromEntries(
    facts.filter((fact) => tally[fact].asked > 0).map((fact) => [fact, `${tally[fact].right}/${tally[fact].asked}`]),
  )
}

describe('a picture is asked what its caption says', () => {
  test('all of it, by default', () => {
    expect(score(right)).toEqual({
      ...{ exact: '1/1', object: '2/2', precision: '3/3', count: '1/1', background: '1/1', style: '1/1', relation: '1/1' },
    })
    const nothing = { background: false, style: false, relation: false, sizes: [], position: false }
    expect(score(right, nothing)).toEqual({ exact: '1/1', object: '2/2', precision: '3/3', count: '1/1' })
  })

  test('and fails by what is wrong alone', () => {
    const changed = (objects: Finding['objects'], answers = right.answers) => score({ objects, answers })
    expect(changed(right.objects.slice(1))).toMatchObject({ count: '0/1', exact: '0/1', precision: '2/2' })
    expect(changed([at('red apple', 0.9), at('red apple', 0.8), at('bear', 0.2)])).toMatchObject({
      object: '2/2',
      relation: '0/1',
    })
    expect(changed([at('bear', 0.7)])).toMatchObject({ object: '1/2', count: '0/1', relation: '0/1', exact: '0/1' })
    expect(changed(right.objects, { ground: 'teal', style: '3d' })).toMatchObject({
      ...{ object: '2/2', background: '0/1', style: '0/1', exact: '0/1' },
    })
  })

  test('what was not named, or more of what was, is imprecise and not exact', () => {
    const more = (object: Finding['objects'][0], described?: Described) =>
      score({ ...right, objects: [...right.objects, object] }, described)
    const nothing = { background: false, style: false, relation: false, sizes: [], position: false }
    for (const described of [undefined, nothing]) {
      expect(more(at('fox', 0.5), described)).toMatchObject({ object: '2/2', precision: '3/4', count: '1/1', exact: '0/1' })
      expect(more(at('bear', 0.8), described)).toMatchObject({ object: '2/2', precision: '3/4', count: '1/1', exact: '0/1' })
    }
    expect(score({ ...right, objects: [] })).toMatchObject({ object: '0/2', exact: '0/1' })
    expect(score({ ...right, objects: [] })).not.toHaveProperty('precision')
  })

  test('a small object must stand in its ninth', () => {
    const small: ComposedScene = {
      background: 'blue',
      style: 'flat',
      groups: [{ noun: bear, count: 1, size: 'small', position: { x: 2, y: 0 } }],
      objects: [],
    }
    const place = (x: number, y: number) => score({ ...right, objects: [at('bear', x, y)] }, undefined, small).position
    expect([place(0.8, 0.2), place(0.5, 0.2), place(0.8, 0.5)]).toEqual(['1/1', '0/1', '0/1'])
  })
})

/** Tallies that all ask about the background alone. */
const backgrounds = (answers: readonly (readonly [right: number, asked: number])[]): Tally[] =>
  answers.map(([right, asked]) => {
    const none = Object.fromEntries(facts.map((fact) => [fact, { right: 0, asked: 0 }]))
    return { ...none, background: { right, asked } } as Tally
  })

describe('shares', () => {
  const single = backgrounds(Array.from({ length: 100 }, (_, i) => [Number(i < 80), 1]))

  test('of independent answers: the interval is nearly the normal one', () => {
    const { share, low, high, asked } = ratesOf(single).background
    expect([share, asked]).toEqual([0.8, 100])
    const error = Math.sqrt((0.8 * 0.2) / 100)
    expect((0.8 - low) / error).toBeGreaterThan(1.7)
    expect((0.8 - low) / error).toBeLessThan(2.3)
    expect((high - 0.8) / error).toBeGreaterThan(1.6)
    expect((high - 0.8) / error).toBeLessThan(2.2)
  })

  test('of answers that go together, picture by picture or pair by pair: the interval is as wide as fewer answers would have it', () => {
    const width = ({ low, high }: { low: number; high: number }) => high - low
    const fourfold = backgrounds(Array.from({ length: 25 }, (_, i) => [i < 20 ? 4 : 0, 4]))
    const grouped = ratesOf(single, (i) => String(Math.floor(i / 4))).background
    expect(grouped).toEqual(ratesOf(fourfold).background)
    expect(width(grouped) / width(ratesOf(single).background)).toBeGreaterThan(1.7)
    expect(width(grouped) / width(ratesOf(single).background)).toBeLessThan(2.4)
  })

  test('all right or all wrong: the interval is not empty, and narrower the more pictures there are', () => {
    const all = (right: number, count: number) => ratesOf(backgrounds(Array.from({ length: count }, () => [right, 1]))).background
    expect(all(1, 10).low).toBeCloseTo(0.025 ** 0.1, 12)
    expect(all(0, 10).high).toBeCloseTo(1 - 0.025 ** 0.1, 12)
    expect(all(1, 500).low).toBeGreaterThan(0.99)
    expect(all(1, 500).high).toBe(1)
  })

  test('nothing asked: all can be', () => {
    const nothing = { share: 0, low: 0, high: 1, asked: 0 }
    expect(ratesOf(single).style).toEqual(nothing)
    expect(bootstrapRates(['style'], [], new Generator(0)).style).toEqual(nothing)
  })

  test('the same from one run to the next', () => {
    expect(ratesOf(single)).toEqual(ratesOf(single))
  })
})

test('the guidance with the most exact pictures; of several the least', () => {
  const point = (guidance: number, share: number) => {
    const rates = { ...ratesOf([]), exact: { share, low: 0, high: 1, asked: 10 } }
    return { guidance, rates }
  }
  expect(bestGuidance([point(1, 0.5), point(2, 0.7), point(3, 0.7), point(4, 0.6)])).toBe(2)
  expect(bestGuidance([point(3, 0.7), point(2, 0.7), point(1, 0)])).toBe(2)
})
