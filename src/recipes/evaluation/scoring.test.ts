import { describe, expect, test } from 'vitest'
import { nounsOf, type StickerScene, type Told } from '../../data/index.ts'
import type { Finding } from '../../pipelines/index.ts'
import { emptyTally, facts, rateOf, scoreScene } from './scoring.ts'

const [apple, bear] = nounsOf({ 'red apple': 'apple', bear: 'bear' }) as [
  StickerScene['groups'][0]['noun'],
  StickerScene['groups'][0]['noun'],
]
/** Two apples left of a bear, on blue. */
const scene: StickerScene = {
  ground: 'blue',
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
const score = (finding: Finding, told?: Told, of = scene) => {
  const tally = emptyTally()
  scoreScene(tally, of, told, finding)
  return Object.fromEntries(
    facts.filter((fact) => tally[fact].asked > 0).map((fact) => [fact, `${tally[fact].right}/${tally[fact].asked}`]),
  )
}

describe('a picture is asked what its caption tells', () => {
  test('all of it, unless told what', () => {
    expect(score(right)).toEqual({ object: '2/2', count: '1/1', ground: '1/1', style: '1/1', relation: '1/1' })
    const nothing = { ground: false, style: false, relation: false, sizes: [], place: false }
    expect(score(right, nothing)).toEqual({ object: '2/2', count: '1/1' })
  })

  test('and fails by what is wrong alone', () => {
    const changed = (objects: Finding['objects'], answers = right.answers) => score({ objects, answers })
    expect(changed(right.objects.slice(1)).count).toBe('0/1')
    expect(changed([at('red apple', 0.9), at('red apple', 0.8), at('bear', 0.2)])).toMatchObject({
      object: '2/2',
      relation: '0/1',
    })
    expect(changed([at('bear', 0.7)])).toMatchObject({ object: '1/2', count: '0/1', relation: '0/1' })
    expect(changed(right.objects, { ground: 'teal', style: '3d' })).toMatchObject({ object: '2/2', ground: '0/1', style: '0/1' })
  })

  test('a small object must stand in its ninth', () => {
    const small: StickerScene = {
      ground: 'blue',
      style: 'flat',
      groups: [{ noun: bear, count: 1, size: 'small', place: { x: 2, y: 0 } }],
      objects: [],
    }
    const place = (x: number, y: number) => score({ ...right, objects: [at('bear', x, y)] }, undefined, small).place
    expect([place(0.8, 0.2), place(0.5, 0.2), place(0.8, 0.5)]).toEqual(['1/1', '0/1', '0/1'])
  })
})

test("a share has Wilson's interval", () => {
  // R: binom::binom.wilson(40, 50).
  const { share, low, high } = rateOf({ right: 40, asked: 50 })
  expect(share).toBe(0.8)
  expect([low, high].map((x) => x.toFixed(4))).toEqual(['0.6696', '0.8876'])
  expect(rateOf({ right: 0, asked: 0 })).toEqual({ share: 0, low: 0, high: 1, asked: 0 })
})
