import { expect, test } from 'vitest'
import { temporaryFolder } from '../../tests/checkpoints.ts'
import { ArgumentError } from '../core/errors.ts'
import { Generator } from '../runtime/random.ts'
import { bytePairEncoder, saveTokenizer, trainBytePairs } from './bpe.ts'
import { ClipTokenizer } from './tokenizer.ts'

const texts = ['a fox and a box', 'two foxes, a "box" of foxes', 'Ein Füchslein: 3 boxes']

test('the most frequent pair is merged first, of equals the first in code-point order', () => {
  const { merges } = trainBytePairs(['low low low low low', 'lower lower', 'newest '.repeat(6), 'widest '.repeat(3)], {
    size: 600,
  })
  expect(merges.slice(0, 4).map((pair) => pair.join(' '))).toEqual(['e s', 'es t</w>', 'l o', 'e w'])
})

test('words that come twice become one token, the vocabulary numbers bytes, merges and the two ends', () => {
  const { vocab, merges } = trainBytePairs(texts, { size: 2000 })
  expect(Object.keys(vocab)).toHaveLength(512 + merges.length + 2)
  expect([vocab['!'], vocab['!</w>'], vocab['<|startoftext|>']]).toEqual([0, 256, 512 + merges.length])
  for (const word of ['foxes', 'box', 'a']) expect(vocab[`${word}</w>`]).toBeDefined()
  expect(vocab['two</w>']).toBeUndefined()
  expect(trainBytePairs(texts, { size: 520 }).merges).toEqual(merges.slice(0, 6))
  expect(() => trainBytePairs(texts, { size: 100 })).toThrow(ArgumentError)
})

test('what is saved opens as a tokenizer: any text is encoded and comes back', () => {
  const dir = temporaryFolder()
  const pairs = trainBytePairs(texts, { size: 2000 })
  saveTokenizer(dir, pairs, { maxLength: 12 })
  const tokenizer = ClipTokenizer.open(dir)
  expect([tokenizer.maxLength, tokenizer.size, tokenizer.pad]).toEqual([12, Object.keys(pairs.vocab).length, tokenizer.end])
  expect(tokenizer.encode('Two FOXES')).toEqual([...tokenizer.encode('two'), pairs.vocab['foxes</w>']])
  for (const text of [...texts, 'naïve 漢字 😀 ½']) {
    const back = tokenizer.decode(tokenizer.encode(text)).replaceAll(/\s/g, '')
    expect(back).toBe(text.toLowerCase().replaceAll(/\s/g, ''))
  }
})

test('merges are made as the tokenizer makes them; with dropout words come in parts, which say the same', () => {
  const dir = temporaryFolder()
  const pairs = trainBytePairs(texts, { size: 2000 })
  saveTokenizer(dir, pairs, { maxLength: 12 })
  const tokenizer = ClipTokenizer.open(dir)
  expect(tokenizer.pairs).toEqual(pairs)
  const encode = bytePairEncoder(tokenizer.pairs)
  for (const text of [...texts, 'naïve 漢字 boxes!']) expect(encode(text)).toEqual(tokenizer.encode(text))
  const generator = new Generator(0)
  const uniform = () => generator.bits() / 2 ** 32
  const cut = Array.from({ length: 50 }, () => encode('two foxes', { rate: 0.3, uniform }))
  for (const ids of cut) expect(tokenizer.decode(ids)).toBe('two foxes')
  const lengths = cut.map((ids) => ids.length)
  expect(Math.max(...lengths)).toBeGreaterThan(Math.min(...lengths) + 1)
  // Of all merges, none: a token for each character.
  expect(encode('foxes', { rate: 1, uniform })).toHaveLength(5)
})
