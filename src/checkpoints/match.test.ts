import { expect, test } from 'vitest'
import { errorOf, f32 } from '../../tests/checkpoints.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type CheckpointError, type Expected, matchWeights } from './match.ts'

const zeros = (...shape: number[]) => NdArray.zeros(shape, 'f32')
const shapes = (entries: Record<string, number[]>): Map<string, Expected> =>
  new Map(Object.entries(entries).map(([key, shape]) => [key, { shape }]))
const mismatch = (...args: Parameters<typeof matchWeights>) => errorOf(() => matchWeights(...args)) as CheckpointError

test("weights that fit come back under the network's names", () => {
  const weights = new Map([
    ['mid.query.weight', zeros(2, 2)],
    ['mid.query.bias', zeros(2)],
  ])
  const matched = matchWeights(shapes({ 'mid.to_q.bias': [2], 'mid.to_q.weight': [2, 2] }), weights, {
    place: 'vae',
    rename: (key) => key.replace('query', 'to_q'),
  })
  expect([...matched]).toEqual([
    ['mid.to_q.weight', weights.get('mid.query.weight')],
    ['mid.to_q.bias', weights.get('mid.query.bias')],
  ])
})

test('every difference is in one error, as data and as text', () => {
  const expected = new Map<string, Expected>([
    ['blocks.0.to_out.0.weight', { shape: [3, 2], dtype: 'f32' }],
    ['blocks.0.to_out.0.bias', { shape: [3] }],
    ['norm.weight', { shape: [] }],
    ['ids', { shape: [1], dtype: 'i64' }],
    ['gone.a', { shape: [1] }],
    ['gone.b', { shape: [1] }],
  ])
  const weights = new Map([
    ['blocks.0.to_out.0.weight', zeros(2, 3)],
    ['blocks.0.to_out.0.bias', zeros(3)],
    ['norm.weight', zeros(1)],
    ['ids', zeros(1)],
    ['extra', zeros(1)],
  ])
  const error = mismatch(expected, weights, { place: 'unet' })
  expect(error).toMatchObject({
    name: 'CheckpointError',
    place: 'unet',
    missing: ['gone.a', 'gone.b'],
    unexpected: ['extra'],
    misshaped: [
      { key: 'blocks.0.to_out.0.weight', expected: [3, 2], got: [2, 3] },
      { key: 'norm.weight', expected: [], got: [1] },
    ],
    mistyped: [{ key: 'ids', expected: 'i64', got: 'f32' }],
  })
  expect(error.message.split('\n')).toEqual([
    'unet: the weights do not fit the network: 2 missing, 1 unexpected, 2 mis-shaped, 1 of the wrong type',
    'missing:',
    '  gone.a',
    '  gone.b',
    'unexpected:',
    '  extra',
    'mis-shaped:',
    '  blocks.0.to_out.0.weight: expected [3, 2], got [2, 3]',
    '  norm.weight: expected [], got [1]',
    'of the wrong type:',
    '  ids: expected i64, got f32',
    expect.stringContaining('config'),
  ])
})

test('floats of any width stand for one another; integers do not', () => {
  const expected = (dtype: 'f32' | 'i32'): Map<string, Expected> => new Map([['a', { shape: [1], dtype }]])
  for (const dtype of ['f32', 'f16', 'bf16'] as const) {
    expect(matchWeights(expected('f32'), new Map([['a', NdArray.zeros([1], dtype)]]), { place: 'x' }).size).toBe(1)
  }
  expect(mismatch(expected('i32'), new Map([['a', NdArray.zeros([1], 'i64')]]), { place: 'x' }).mistyped).toHaveLength(1)
})

test('the message stays readable, the data whole', () => {
  const weights = new Map(Array.from({ length: 1000 }, (_, i) => [`k${i}`, zeros(1)]))
  const error = mismatch(shapes({ a: [1] }), weights, { place: 'x' })
  expect(error.unexpected).toHaveLength(1000)
  expect(error.message).toContain('… and 980 more')
  expect(error.message.split('\n').length).toBeLessThan(30)
})

test('a common prefix is recognised, either way', () => {
  const bare = { 'a.weight': [1], 'b.weight': [1] }
  const prefixed = { 'module.a.weight': [1], 'module.b.weight': [1] }
  const weights = (entries: Record<string, number[]>) => new Map(Object.keys(entries).map((key) => [key, f32([1], 0)]))
  expect(mismatch(shapes(bare), weights(prefixed), { place: 'x' }).message).toMatch(/behind the prefix 'module\.'/)
  expect(mismatch(shapes(prefixed), weights(bare), { place: 'x' }).message).toMatch(/without the prefix 'module\.'/)
})

test('two keys renamed to one: the second is unexpected', () => {
  const error = mismatch(
    shapes({ a: [1] }),
    new Map([
      ['x', zeros(1)],
      ['y', zeros(1)],
    ]),
    { place: 'x', rename: () => 'a' },
  )
  expect(error).toMatchObject({ missing: [], unexpected: ['y'] })
})

test('what is ignored is neither matched nor missed', () => {
  const weights = new Map([
    ['embeddings.position_ids', zeros(1, 5)],
    ['norm.weight', zeros(2)],
  ])
  const ignore = (key: string) => key.endsWith('position_ids')
  expect([...matchWeights(shapes({ 'norm.weight': [2] }), weights, { place: 'text', ignore }).keys()]).toEqual(['norm.weight'])
  expect(mismatch(shapes({ 'norm.weight': [2] }), weights, { place: 'text' }).unexpected).toEqual(['embeddings.position_ids'])
})
