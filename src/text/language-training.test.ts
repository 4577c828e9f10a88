import { expect, test } from 'vitest'
import { temporaryFolder } from '../../tests/checkpoints.ts'
import { ArgumentError } from '../core/errors.ts'
import { LanguageTokenizer } from './language-tokenizer.ts'
import {
  bytesOfTokens,
  endOfDocument,
  languageEncoder,
  saveLanguageTokenizer,
  trainLanguageVocabulary,
} from './language-training.ts'

const texts = ['The state of the Union is strong.', "The people's will, the people's union, 1790!", 'union of the people']

test('words with the blank before them become tokens, and any text comes back from a folder of the vocabulary', () => {
  const vocabulary = trainLanguageVocabulary(texts, { size: 300 })
  expect(vocabulary.vocab).toHaveProperty('Ġthe')
  expect(vocabulary.vocab[endOfDocument]).toBe(256 + vocabulary.merges.length)
  const dir = temporaryFolder()
  saveLanguageTokenizer(dir, vocabulary, { maxLength: 64 })
  const tokenizer = LanguageTokenizer.open(dir)
  expect(tokenizer.size).toBe(Object.keys(vocabulary.vocab).length)
  const encode = languageEncoder(tokenizer)
  const bytes = bytesOfTokens(vocabulary)
  for (const text of [...texts, '  two  blanks \n\n lines', 'naïve 漢字 😀 ½ don’t']) {
    const ids = encode(text)
    expect(ids).toEqual(tokenizer.encode(text))
    expect(tokenizer.decode(ids)).toBe(text)
    expect(ids.reduce((sum, id) => sum + (bytes[id] as number), 0)).toBe(Buffer.byteLength(text))
  }
  expect(tokenizer.decode([vocabulary.vocab[endOfDocument] as number])).toBe('')
  expect(tokenizer.idOf(endOfDocument)).toBe(vocabulary.vocab[endOfDocument])
  expect(() => trainLanguageVocabulary(texts, { size: 100 })).toThrow(ArgumentError)
})
