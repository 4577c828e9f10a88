import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ArgumentError } from '../core/errors.ts'
import { T5Tokenizer } from './t5-tokenizer.ts'
import { saveT5Tokenizer, sentinel } from './t5-tokenizer-saving.ts'
import { trainUnigram } from './unigram-training.ts'

const dir = mkdtempSync(join(tmpdir(), 'langevin-unigram-'))
afterAll(() => rmSync(dir, { recursive: true }))

const texts = [
  ...Array.from({ length: 30 }, () => 'a red fox on a blue background'),
  ...Array.from({ length: 20 }, () => 'two red foxes left of a fox'),
  ...Array.from({ length: 5 }, () => 'the unforeseen'),
]

test('pieces are the words that come often, their probabilities sum to one, and the likeliest stand first', () => {
  const pieces = trainUnigram(texts, { size: 140 })
  const names = pieces.map(([piece]) => piece)
  for (const word of ['▁a', '▁red', '▁fox', '▁on', '▁background', '▁blue']) expect(names.slice(0, 20)).toContain(word)
  expect(names[0]).toBe('▁a')
  expect(pieces.reduce((sum, [, score]) => sum + Math.exp(score), 0)).toBeCloseTo(1, 6)
  expect(pieces.map(([, score]) => score)).toEqual(pieces.map(([, score]) => score).toSorted((a, b) => b - a))
  expect(trainUnigram(texts, { size: 140 })).toEqual(pieces)
})

test('fewer pieces make longer rows of them, and no text of ASCII is unknown', () => {
  const rows = [100, 110, 140].map((size) => {
    const pieces = trainUnigram(texts, { size })
    expect(pieces.length).toBeLessThanOrEqual(size)
    saveT5Tokenizer(dir, pieces, { maxLength: 24 })
    const tokenizer = T5Tokenizer.open(dir)
    for (const text of [...texts, 'Qu@rtz {99}~']) {
      expect(tokenizer.encode(text)).not.toContain(tokenizer.unknown)
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
    }
    return texts.reduce((sum, text) => sum + tokenizer.encode(text).length, 0)
  })
  expect(rows).toEqual(rows.toSorted((a, b) => b - a))
  expect(rows[0]).toBeGreaterThan(rows[2] as number)
})

test('the folder has T5’s numbers: padding, end and unknown first, sentinels last and backwards', () => {
  const pieces = trainUnigram(texts, { size: 120 })
  saveT5Tokenizer(dir, pieces, { maxLength: 24 })
  const tokenizer = T5Tokenizer.open(dir)
  expect([tokenizer.pad, tokenizer.end, tokenizer.unknown, tokenizer.maxLength]).toEqual([0, 1, 2, 24])
  expect(tokenizer.size).toBe(3 + pieces.length + 100)
  expect([0, 99].map((i) => tokenizer.idOf(sentinel(i)))).toEqual([tokenizer.size - 1, tokenizer.size - 100])
  expect(tokenizer.encode(`a${sentinel(1)} fox`).filter((id) => id === tokenizer.idOf(sentinel(1)))).toHaveLength(1)
})

test('a size that single characters exceed is refused', () => {
  expect(() => trainUnigram(texts, { size: 50 })).toThrow(ArgumentError)
  expect(() => trainUnigram(texts, { size: 50 })).toThrow(/expected a size of 95 or more, got 50/)
})
