import { expect, test } from 'vitest'
import { Generator } from '../../../runtime/random.ts'
import { corruptSpans, longestTarget } from './span-corruption.ts'

const sentinel = (i: number) => 1000 + i
const textOf = (length: number) => Array.from({ length }, (_, i) => i)

/** The text that source and target tell together. */
function restored({ source, target }: { source: readonly number[]; target: readonly number[] }): number[] {
  const spans = new Map<number, number[]>()
  let span: number[] = []
  for (const token of target) {
    if (token < 1000) span.push(token)
    else {
      span = []
      spans.set(token, span)
    }
  }
  return source.flatMap((token) => (token < 1000 ? token : (spans.get(token) ?? [])))
}

test.each([
  [0.15, 3],
  [0.3, 2],
  [0.8, 1],
])('source and target tell the text between them (density %s, length %s)', (density, meanLength) => {
  const generator = new Generator(0)
  const options = { density, meanLength, sentinel }
  let longest = 0
  for (let length = 2; length < 40; length++)
    for (let again = 0; again < 20; again++) {
      const corrupted = corruptSpans(textOf(length), options, generator)
      expect(restored(corrupted)).toEqual(textOf(length))
      const cut = corrupted.target.filter((token) => token < 1000).length
      expect(cut).toBe(Math.min(Math.max(1, Math.round(length * density)), length - 1))
      longest = Math.max(longest, corrupted.target.length)
    }
  expect(longest).toBeLessThanOrEqual(longestTarget(39, options))
})

test('every token is cut out as often as the others, near enough', () => {
  const generator = new Generator(1)
  const counts = new Map<number, number>()
  const rounds = 4000
  for (let i = 0; i < rounds; i++)
    for (const token of corruptSpans(textOf(12), { density: 0.3, meanLength: 2, sentinel }, generator).target)
      counts.set(token, (counts.get(token) ?? 0) + 1)
  for (const token of textOf(12)) {
    expect((counts.get(token) as number) / rounds, `token ${token}`).toBeGreaterThan(0.2)
    expect((counts.get(token) as number) / rounds, `token ${token}`).toBeLessThan(0.5)
  }
})
