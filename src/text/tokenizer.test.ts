import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../tests/checkpoints.ts'
import { ConfigError } from '../checkpoints/errors.ts'
import { ArgumentError } from '../core/errors.ts'
import { PromptError } from './errors.ts'
import { ClipTokenizer } from './tokenizer.ts'

const folder = (name: string) => fileURLToPath(new URL(`../../parity/fixtures/tokenizer/${name}`, import.meta.url))
const made: {
  prompts: string[]
  ids: Record<'sd1' | 'xl2', number[][]>
  padded: { texts: string[]; ids: Record<'sd1' | 'xl2', number[][]> }
  added: { texts: string[]; ids: number[][] }
} = JSON.parse(readFileSync(folder('prompts.json'), 'utf8'))

/** The second tokenizer of XL: the first one's vocabulary with its own settings. */
function second(): string {
  const dir = temporaryFolder()
  for (const name of ['vocab.json', 'merges.txt']) copyFileSync(join(folder('sd1'), name), join(dir, name))
  for (const name of ['tokenizer_config.json', 'special_tokens_map.json'])
    copyFileSync(join(folder('xl2'), name), join(dir, name))
  return dir
}

const kinds: [string, 'sd1' | 'xl2', () => string][] = [
  ['vocab.json and merges.txt, Stable Diffusion 1', 'sd1', () => folder('sd1')],
  ['vocab.json and merges.txt, the second of XL', 'xl2', second],
  ['tokenizer.json, Stable Diffusion 1', 'sd1', () => folder('whole/sd1')],
  ['tokenizer.json, the second of XL', 'xl2', () => folder('whole/xl2')],
]

test.each(kinds)('%s: the numbers of transformers for every prompt', (_, name, dir) => {
  const tokenizer = ClipTokenizer.open(dir())
  const { start, end } = tokenizer
  const found = made.prompts.map((prompt) => ({ prompt, ids: [start, ...tokenizer.encode(prompt), end] }))
  expect(made.prompts.length).toBeGreaterThanOrEqual(200)
  expect(found.filter(({ ids }, i) => ids.join() !== made.ids[name][i]?.join())).toEqual([])
  const padded = made.padded.texts.map((text) => tokenizer.frame(tokenizer.encode(text)))
  expect(padded).toEqual(made.padded.ids[name])
})

test('"!" pads in XL and is then another token inside a prompt', () => {
  const [first, xl] = [ClipTokenizer.open(folder('sd1')), ClipTokenizer.open(second())]
  expect([first.pad, xl.pad]).toEqual([first.end, 0])
  expect(first.encode('wow!').at(-1)).toBe(first.idOf('!</w>'))
  expect(xl.encode('wow!').at(-1)).toBe(0)
})

test('files of older and newer folders say which tokens are added and which pads', () => {
  const dir = second()
  writeFileSync(join(dir, 'special_tokens_map.json'), '{"pad_token": "<|endoftext|>"}')
  expect(ClipTokenizer.open(dir).pad).toBe(0)
  writeFileSync(join(dir, 'tokenizer_config.json'), '{}')
  const older = ClipTokenizer.open(dir)
  expect(older.pad).toBe(older.end)
  writeFileSync(join(dir, 'added_tokens.json'), `{"<new>": ${older.size}}`)
  const added = ClipTokenizer.open(dir)
  expect([added.size, added.encode('a <NEW>').at(-1)]).toEqual([older.size + 1, older.size])
})

test('added tokens are matched whole, and one of several vectors stands for all of them', () => {
  const plain = ClipTokenizer.open(folder('sd1'))
  const { start, end } = plain
  // The fixture adds the second vector's token as one of its own.
  const added = plain.with(
    new Map([
      ['<Style>', 1],
      ['<Style>_1', 1],
      ['moonlit', 1],
    ]),
  )
  expect(made.added.texts.map((text) => [start, ...added.encode(text), end])).toEqual(made.added.ids)
  const several = plain.with(
    new Map([
      ['<Style>', 2],
      ['moonlit', 1],
    ]),
  )
  expect(several.encode('<Style> moonlit')).toEqual([plain.size, plain.size + 1, plain.size + 2])
  expect(several.size).toBe(plain.size + 3)
  expect(() => several.with(new Map([['moonlit', 1]]))).toThrow(ArgumentError)
})

test('numbers decode to what they stand for', () => {
  const tokenizer = ClipTokenizer.open(folder('sd1'))
  expect(tokenizer.decode(tokenizer.encode('日本の猫 🐱'))).toBe('日本の猫 🐱')
  expect(tokenizer.decode(tokenizer.encode('a photo of a cat'))).toBe('a photo of a cat')
  expect(tokenizer.decode([])).toBe('')
})

test('a hostile prompt is refused at once, and a long one is quick', () => {
  const tokenizer = ClipTokenizer.open(folder('sd1'))
  const before = process.cpuUsage()
  expect(() => tokenizer.encode('a'.repeat(32001))).toThrow(PromptError)
  expect(() => tokenizer.encode('\ud83d')).toThrow(PromptError)
  const { user, system } = process.cpuUsage(before)
  expect((user + system) / 1000).toBeLessThan(100)
  expect(tokenizer.encode('!,'.repeat(16000)).length).toBeGreaterThan(75)
})

test('a folder without a tokenizer, or with a broken one, says which file', () => {
  expect(() => ClipTokenizer.open(temporaryFolder())).toThrow('vocab.json')
  const dir = temporaryFolder()
  copyFileSync(join(folder('sd1'), 'vocab.json'), join(dir, 'vocab.json'))
  expect(() => ClipTokenizer.open(dir)).toThrow('merges.txt')
  writeFileSync(join(dir, 'tokenizer.json'), '{"model": {"type": "Unigram", "vocab": [["a", 1]]}}')
  expect(() => ClipTokenizer.open(dir)).toThrow(ConfigError)
})

test('white space is what the reference takes for it: not U+FEFF, but U+0085', () => {
  const { texts, ids } = JSON.parse(readFileSync(folder('white-space.json'), 'utf8')) as { texts: string[]; ids: number[][] }
  const tokenizer = ClipTokenizer.open(folder('sd1'))
  expect(texts.length).toBeGreaterThanOrEqual(150)
  expect(texts.map((text) => tokenizer.encode(text))).toEqual(ids)
})
