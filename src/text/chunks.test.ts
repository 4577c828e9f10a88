import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../tests/checkpoints.ts'
import { writeSafetensors } from '../checkpoints/safetensors.ts'
import { ArgumentError, ShapeError } from '../core/errors.ts'
import { input } from '../core/tensor.ts'
import { clipText, clipTextConfig } from '../models/clip/index.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { evaluate } from '../runtime/program.ts'
import { Generator } from '../runtime/random.ts'
import { chunkPrompt, equalChunks, tokensOf, weighStates } from './chunks.ts'
import { addInversions, InversionError, readInversion } from './inversion.ts'
import { ClipTokenizer } from './tokenizer.ts'

const tokenizer = ClipTokenizer.open(fileURLToPath(new URL('../../parity/fixtures/tokenizer/sd1', import.meta.url)))
const count = (ids: readonly number[]) => ids.indexOf(tokenizer.end) - 1

test('a short prompt is one padded chunk with its weights; an empty one too', () => {
  const [chunk, ...others] = chunkPrompt(tokenizer, 'a (cat:1.5)')
  expect(others).toEqual([])
  expect(chunk?.ids).toEqual(tokenizer.frame(tokenizer.encode('a cat')))
  const weighted = chunk?.weights.flatMap((w, i) => (w === 1 ? [] : [[i, w]]))
  expect(weighted).toEqual(tokenizer.encode('cat').map((_, i) => [i + 2, 1.5]))
  expect(chunkPrompt(tokenizer, '')).toEqual([{ ids: tokenizer.frame([]), weights: Array(77).fill(1) }])
})

test('a long prompt is parted where it is full, at a late comma, and at BREAK', () => {
  const cat = tokenizer.encode('cat').length
  expect(cat).toBe(1)
  const full = chunkPrompt(tokenizer, 'cat '.repeat(160))
  expect(full.map(({ ids }) => count(ids))).toEqual([75, 75, 10])
  expect(chunkPrompt(tokenizer, 'cat '.repeat(75)).length).toBe(1)
  const comma = chunkPrompt(tokenizer, `${'cat '.repeat(60)}, ${'cat '.repeat(30)}`)
  expect(comma.map(({ ids }) => count(ids))).toEqual([61, 30])
  const early = chunkPrompt(tokenizer, `${'cat '.repeat(40)}, ${'cat '.repeat(50)}`)
  expect(early.map(({ ids }) => count(ids))).toEqual([75, 16])
  expect(chunkPrompt(tokenizer, 'cat BREAK cat cat').map(({ ids }) => count(ids))).toEqual([1, 2])
  const [a, b] = equalChunks(tokenizer, [full, chunkPrompt(tokenizer, 'cat')])
  expect([a?.length, b?.length]).toEqual([3, 3])
  expect(b?.slice(1).map(({ ids }) => count(ids))).toEqual([0, 0])
  expect(tokensOf(full).shape).toEqual([3, 77])
})

test('weights of 1 change nothing; scaling keeps the mean; interpolation starts from the empty prompt', () => {
  const generator = new Generator(0)
  const states = generator.randn([2, 3, 4]).add(0.5)
  const empty = generator.randn([1, 3, 4])
  const chunks = [
    { ids: [0, 1, 2], weights: [1, 1, 1] },
    { ids: [0, 1, 2], weights: [1, 2, 0] },
  ]
  const scaled = weighStates(states, chunks, { kind: 'scale' })
  expect(scaled.shape).toEqual([1, 6, 4])
  expect([...scaled.data.slice(0, 12)]).toEqual([...states.data.slice(0, 12)])
  const mean = (x: ArrayLike<number>, from: number) =>
    Array.from(x)
      .slice(from)
      .reduce((a, b) => a + b, 0) / 12
  expect(mean(scaled.data, 12)).toBeCloseTo(mean(states.data, 12), 5)
  expect([...scaled.data.slice(20)]).toEqual([0, 0, 0, 0])
  expect((scaled.data[16] as number) / (scaled.data[12] as number)).toBeCloseTo((2 * states.data[16]!) / states.data[12]!, 4)
  const moved = weighStates(states, chunks, { kind: 'interpolate', empty })
  expect(moved.data[16]).toBeCloseTo(2 * states.data[16]! - empty.data[4]!, 5)
  expect([...moved.data.slice(20)]).toEqual([...empty.data.slice(8)])
  expect(() => weighStates(states, chunks.slice(1), { kind: 'scale' })).toThrow(ShapeError)
})

test('textual-inversion embeddings are read from every layout', () => {
  const dir = temporaryFolder()
  const file = (name: string, tensors: Record<string, NdArray>) => {
    writeSafetensors(`${dir}/${name}`, Object.entries(tensors))
    return `${dir}/${name}`
  }
  const draw = (...shape: number[]) => new Generator(1).randn(shape)
  expect(readInversion(file('ink.safetensors', { emb_params: draw(2, 8) }))).toMatchObject({
    token: 'ink',
    first: { shape: [2, 8] },
  })
  const single = file('x.safetensors', { '<moon>': draw(8) })
  expect(readInversion(single)).toMatchObject({ token: '<moon>', first: { shape: [1, 8] } })
  expect(readInversion(single, 'sun').token).toBe('sun')
  const xl = readInversion(file('xl.safetensors', { clip_l: draw(1, 8), clip_g: draw(1, 12) }))
  expect(xl).toMatchObject({ token: 'xl', first: { shape: [1, 8] }, second: { shape: [1, 12] } })
  expect(() => readInversion(file('two.safetensors', { a: draw(8), b: draw(8) }))).toThrow(InversionError)
  expect(() => readInversion(file('cube.safetensors', { a: draw(2, 2, 2) }))).toThrow('[2, 2, 2]')
})

test('a text encoder learns tokens by rows of its table, and nothing else changes', async () => {
  const config = clipTextConfig({
    vocab_size: tokenizer.size,
    hidden_size: 8,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    eos_token_id: tokenizer.end,
  })
  const p = new Params()
  clipText(p, config)
  const weights = p.initialise(new Generator(2))
  const row = (key: number) => {
    const table = weights.get('text_model.embeddings.token_embedding.weight') as NdArray
    return NdArray.from([...table.cast('f32').data.slice(key * 8, key * 8 + 8)], [1, 8])
  }
  // The learnt vector is that of a word: a prompt with it must then be read as one with the word.
  const [cat] = tokenizer.encode('cat') as [number]
  const learnt = addInversions({ tokenizer, weights }, [{ token: '<new>', first: NdArray.concat([row(cat), row(cat + 1)]) }])
  expect(learnt.tokenizer.encode('<new>')).toEqual([tokenizer.size, tokenizer.size + 1])
  const run = async (own: typeof learnt, ids: number[]) => {
    const tokens = input('tokens', [1, ids.length], 'i64')
    const output = clipText(new Params(), { ...config, vocab_size: own.tokenizer.size })(tokens)
    const feed = new NdArray(BigInt64Array.from(ids, BigInt), [1, ids.length], 'i64')
    return (await evaluate({ outputs: { y: output.lastHiddenState }, weights: own.weights }, { tokens: feed })).y as NdArray
  }
  const frame = (ids: number[]) => tokenizer.frame(ids, 6)
  const found = await run(learnt, frame(learnt.tokenizer.encode('<new>')))
  const expected = await run({ tokenizer, weights }, frame([cat, cat + 1]))
  expect(found).toEqual(expected)
  const untouched = [...weights.keys()].filter((key) => learnt.weights.get(key) !== weights.get(key))
  expect(untouched).toEqual(['text_model.embeddings.token_embedding.weight'])
  expect(addInversions({ tokenizer, weights }, [])).toEqual({ tokenizer, weights })
  const wide = { token: 'wide', first: NdArray.zeros([1, 12]) }
  expect(() => addInversions({ tokenizer, weights }, [wide])).toThrow(ShapeError)
  expect(() => addInversions({ tokenizer, weights }, [wide], 'second')).toThrow(ArgumentError)
  expect(() => addInversions(learnt, [{ token: '<new>', first: row(cat) }])).toThrow(ArgumentError)
})
