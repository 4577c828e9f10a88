import { expect, test } from 'vitest'
import { Generator } from '../../runtime/random.ts'
import { kneserNey, ngramBits } from './kneser-ney.ts'

test('two orders by hand: "San Francisco" does not make Francisco likely elsewhere', () => {
  // 0 1 0 1 0 1 2 3 2: after 0 always 1, and 1 stands after 0 alone.
  const { probability } = kneserNey([0, 1, 0, 1, 0, 1, 2, 3, 2], { order: 2, size: 4 })
  // Bigrams 01 thrice, 10 twice, 12, 23, 32 once: D₂ = 3 / (3 + 2). Different tokens before 0, 1, 2, 3: 1, 1, 2, 1, so D₁ = 3 / (3 + 2).
  const lower = [1 - 0.6, 1 - 0.6, 2 - 0.6, 1 - 0.6].map((count) => count / 5 + (0.6 * 4) / 5 / 4)
  expect(lower.reduce((sum, p) => sum + p)).toBeCloseTo(1, 12)
  for (const [token, p] of lower.entries()) expect(probability(token, [])).toBeCloseTo(p, 12)
  expect(probability(1, [0])).toBeCloseTo((3 - 0.6) / 3 + (0.6 / 3) * (lower[1] as number), 12)
  expect(probability(2, [3, 1])).toBeCloseTo((1 - 0.6) / 3 + ((0.6 * 2) / 3) * (lower[2] as number), 12)
})

test('probabilities of all tokens have the sum 1, after contexts that were seen and that were not', () => {
  const generator = new Generator(3)
  const row = Array.from(generator.randint(0, 7, [400]).data, Number)
  const model = kneserNey(row, { order: 5, size: 9 })
  for (const context of [[], [1], row.slice(20, 24), [8, 8, 8, 8], [0, 1, 2, 3, 4, 5], [8, ...row.slice(3, 6)]]) {
    const all = Array.from({ length: 9 }, (_, token) => model.probability(token, context))
    expect(all.reduce((sum, p) => sum + p)).toBeCloseTo(1, 10)
    expect(Math.min(...all)).toBeGreaterThan(0)
  }
})

test('texts that follow a rule cost less with longer contexts', () => {
  const row = Array.from({ length: 900 }, (_, i) => [0, 1, 0, 2, 0, 3][i % 6] as number)
  const costs = [1, 2, 3].map((order) => ngramBits(kneserNey(row.slice(0, 600), { order, size: 4 }), row.slice(600)))
  expect(costs).toEqual([...costs].sort((a, b) => b - a))
  expect(costs[2]! / 300).toBeLessThan(0.05)
})
