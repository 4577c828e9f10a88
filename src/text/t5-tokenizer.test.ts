import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { ConfigError } from '../checkpoints/errors.ts'
import { LangevinError } from '../core/errors.ts'
import { PromptError } from './errors.ts'
import { T5Tokenizer } from './t5-tokenizer.ts'

const fixtures = new URL('../../parity/fixtures/t5-tokenizer/', import.meta.url).pathname
const reference = JSON.parse(readFileSync(join(fixtures, 'texts.json'), 'utf8'))
const texts = reference.texts as readonly string[]
const scratch = mkdtempSync(join(tmpdir(), 'langevin-t5-'))
afterAll(() => rmSync(scratch, { recursive: true }))

/** A folder with these of the fixture's files. */
function folder(...names: readonly string[]): string {
  const dir = mkdtempSync(join(scratch, 'folder-'))
  for (const name of names) copyFileSync(join(fixtures, name), join(dir, name))
  return dir
}
const spiece = () => folder('spiece.model')

test.each([
  ['model', ['spiece.model']],
  ['config', ['spiece.model', 'tokenizer_config.json']],
  ['model', ['tokenizer.json']],
])('the numbers of transformers, layout %s of %s', (layout, names) => {
  const tokenizer = T5Tokenizer.open(folder(...names))
  const expected = reference.layouts[layout] as readonly (readonly number[])[]
  const differing = texts.filter((text, i) => JSON.stringify(tokenizer.encode(text)) !== JSON.stringify(expected[i]))
  expect(texts.length).toBeGreaterThan(200)
  expect(differing).toEqual([])
})

test.each(['cut', 'padded'])('framed as transformers does: %s', (name) => {
  const tokenizer = T5Tokenizer.open(spiece())
  const { length, input_ids, attention_mask } = reference[name]
  const framed = input_ids.map((_: unknown, i: number) => tokenizer.frame(tokenizer.encode(texts[i] as string), length))
  expect(framed.map(({ ids }: { ids: number[] }) => ids)).toEqual(input_ids)
  expect(framed.map(({ mask }: { mask: number[] }) => mask)).toEqual(attention_mask)
})

test('special tokens have their places', () => {
  const tokenizer = T5Tokenizer.open(spiece())
  expect([tokenizer.pad, tokenizer.end, tokenizer.unknown, tokenizer.size, tokenizer.maxLength]).toEqual([
    0,
    1,
    2,
    700,
    undefined,
  ])
  expect(tokenizer.idOf('<extra_id_0>')).toBe(699)
  expect(tokenizer.idOf('<extra_id_99>')).toBe(600)
  expect(tokenizer.encode('漢字漢字')).toEqual([tokenizer.idOf('▁'), 2])
  expect(tokenizer.decode(tokenizer.frame(tokenizer.encode('a red  fox'), 20).ids)).toBe('a red fox')
  expect(T5Tokenizer.open(folder('spiece.model', 'tokenizer_config.json')).maxLength).toBe(512)
})

describe('bad input', () => {
  test('texts', () => {
    const tokenizer = T5Tokenizer.open(spiece())
    expect(() => tokenizer.encode('a'.repeat(32_001))).toThrow(PromptError)
    expect(() => tokenizer.encode('\ud800')).toThrow(PromptError)
    expect(() => tokenizer.frame([], 0)).toThrow(PromptError)
    expect(tokenizer.frame([5, 6], 1)).toEqual({ ids: [1], mask: [1] })
  })

  test('the longest text is cut in time', () => {
    const tokenizer = T5Tokenizer.open(spiece())
    const began = performance.now()
    expect(tokenizer.encode('ﷺ½a'.repeat(10_000)).length).toBeGreaterThan(1000)
    expect(performance.now() - began).toBeLessThan(5000)
  })

  const written = (name: string, content: string | Uint8Array): string => {
    const dir = mkdtempSync(join(scratch, 'bad-'))
    writeFileSync(join(dir, name), content)
    return dir
  }
  const unigramJson = (model: object) => JSON.stringify({ model: { type: 'Unigram', unk_id: 0, ...model } })
  const three = [
    ['<pad>', 0],
    ['</s>', 0],
    ['<unk>', 0],
  ]
  test.each([
    ['no files', 'other.txt', '', /no spiece\.model/],
    ['an empty model', 'spiece.model', '', /no pieces/],
    ['no model', 'spiece.model', 'hello, this is no protobuf', /not a SentencePiece model/],
    ['another model', 'tokenizer.json', JSON.stringify({ model: { type: 'BPE', vocab: {}, merges: [] } }), /model: .*unigram/],
    ['a piece without a score', 'tokenizer.json', unigramJson({ vocab: [['a']] }), /model\.vocab\[0\]/],
    ['a long piece', 'tokenizer.json', unigramJson({ vocab: [['a'.repeat(600), -1]] }), /longer than 512/],
    ['no such unknown', 'tokenizer.json', unigramJson({ vocab: three, unk_id: 3 }), /unk_id: the unknown piece is number 3 of 3/],
    ['no end token', 'tokenizer.json', unigramJson({ vocab: [['<pad>', 0]] }), /has no "<\/s>"/],
    ['a pair model', 'spiece.model', Uint8Array.of(10, 3, 10, 1, 97, 18, 2, 24, 2), /of type 2/],
  ])('%s', (_, name, content, message) => {
    expect(() => T5Tokenizer.open(written(name, content))).toThrow(ConfigError)
    expect(() => T5Tokenizer.open(written(name, content))).toThrow(message)
  })

  test.each([
    ['AAA=', /2 bytes/],
    ['AAAAAA==', /0 bytes by its first four/],
    ['BAAAAAAAAAD/', /not UTF-8/],
  ])('a damaged map of characters %s', (map, message) => {
    const file = JSON.parse(unigramJson({ vocab: three }))
    file.normalizer = { type: 'Precompiled', precompiled_charsmap: map }
    expect(() => T5Tokenizer.open(written('tokenizer.json', JSON.stringify(file)))).toThrow(message)
  })

  test('a damaged model is one error, or a tokenizer that ends', () => {
    const good = readFileSync(join(fixtures, 'spiece.model'))
    const damage = fc.record({
      cut: fc.integer({ min: 0, max: good.length }),
      at: fc.array(fc.tuple(fc.integer({ min: 0, max: good.length - 1 }), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }),
    })
    let refused = 0
    fc.assert(
      fc.property(damage, ({ cut, at }) => {
        const bytes = Uint8Array.from(good)
        for (const [i, value] of at) bytes[i] = value
        const dir = written('spiece.model', at.length === 0 ? bytes.subarray(0, cut) : bytes)
        try {
          const ids = T5Tokenizer.open(dir).encode('Ａ ﬁne ½ fox <extra_id_0> 漢字')
          expect(ids.every((id) => Number.isInteger(id) && id >= 0)).toBe(true)
        } catch (error) {
          expect(error).toBeInstanceOf(LangevinError)
          refused++
        }
      }),
      { numRuns: 300, seed: 3 },
    )
    expect(refused).toBeGreaterThan(30)
  })
})
