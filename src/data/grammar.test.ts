import { expect, test } from 'vitest'
import { Generator } from '../runtime/random.ts'
import { agreementGrammar, grammarOf } from './grammar.ts'

const rule = (odds: number, ...parts: string[]) => ({ odds, parts })

test('probabilities of all texts sum to 1, and the entropy is the mean of −ln p', () => {
  const small = grammarOf({ S: [rule(0.25, 'x', 'A'), rule(0.75, 'A', 'A')], A: [rule(0.5, 'y'), rule(0.5, 'z', 'z')] })
  const letters = ['x', 'y', 'z']
  let texts: string[][] = [[]]
  let [sum, entropy] = [0, 0]
  for (let length = 1; length <= small.longest; length++) {
    texts = texts.flatMap((text) => letters.map((letter) => [...text, letter]))
    for (const text of texts) {
      const p = Math.exp(small.logProbability(text))
      sum += p
      if (p > 0) entropy -= p * Math.log(p)
    }
  }
  expect(sum).toBeCloseTo(1, 12)
  // x A and A A never meet: each text is written in one way.
  expect(entropy).toBeCloseTo(small.entropy, 12)
  expect(small.longest).toBe(4)
})

test('texts of the agreement grammar are written in one way each, and what breaks it is told', () => {
  const { draw, logProbability, entropy, longest, words } = agreementGrammar
  expect([longest, words.length]).toEqual([21, 27])
  const generator = new Generator(0)
  const nats = Array.from({ length: 2000 }, () => {
    const text = draw(generator)
    const found = logProbability(text.words)
    expect(found).toBeCloseTo(Math.log(text.probability), 9)
    return -found
  })
  const mean = nats.reduce((a, b) => a + b) / nats.length
  const error = Math.sqrt(nats.reduce((sum, one) => sum + (one - mean) ** 2, 0)) / nats.length
  expect(Math.abs(mean - entropy)).toBeLessThan(4 * error)
  expect(logProbability('every dog that fears few cats sleeps .'.split(' '))).toBeGreaterThan(-20)
  for (const wrong of ['every dog that fears few cats sleep .', 'if every dog sleeps .', 'every dog sleeps', ''])
    expect(logProbability(wrong.split(' ')), wrong).toBe(-Infinity)
})

test('a grammar that is none is refused', () => {
  expect(() => grammarOf({ S: [rule(0.5, 'a')] })).toThrow(/odds of S sum to 0.5/)
  expect(() => grammarOf({ S: [rule(0.5, 'a'), rule(0.5, 'a', 'S')] })).toThrow(/S is written within itself/)
})
