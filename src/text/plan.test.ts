import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { combineStates, compelStates, parseCompel } from './compel.ts'
import { PromptError } from './errors.ts'
import { planPrompt, promptStretches } from './plan.ts'
import type { ClipTokenizer } from './tokenizer.ts'
import { expandWildcards, wildcardLines } from './wildcards.ts'

const words = (parts: readonly { kind: string; text?: string; weight?: number }[]) =>
  parts.map((part) => (part.kind === 'break' ? 'BREAK' : `${part.text}@${(part.weight as number).toFixed(2)}`)).join('|')

test('a prompt is read in one go: LoRAs, AND, editing, emphasis and BREAK', () => {
  const plan = planPrompt('a <lora:ink:0.7>[cat:dog:0.5] (big) BREAK x AND [red|green] hat :0.5')
  expect(plan.loras).toEqual([{ name: 'ink', weight: 0.7 }])
  expect(plan.branches.map(({ weight, changes }) => [weight, changes])).toEqual([
    [1, true],
    [0.5, true],
  ])
  const [first, second] = plan.branches
  expect(words(first?.at(0, 20) ?? [])).toBe('a cat @1.00|big@1.10| @1.00|BREAK| x@1.00')
  expect(words(first?.at(10, 20) ?? [])).toBe('a dog @1.00|big@1.10| @1.00|BREAK| x@1.00')
  expect([0, 1, 2].map((step) => words(second?.at(step, 20) ?? []))).toEqual(['red hat@1.00', 'green hat@1.00', 'red hat@1.00'])
  expect(promptStretches(first as NonNullable<typeof first>, 20).map(({ from }) => from)).toEqual([0, 10])
  expect(() => first?.at(-1, 20)).toThrow('no step -1')
})

test('plain takes nothing, a plain prompt changes nothing', () => {
  const text = 'a <lora:x:1> [b:c:2] AND (d) {e|f}'
  const { loras, branches } = planPrompt(text, { syntax: 'plain' })
  expect([loras.length, branches.length, words(branches[0]?.at(3, 9) ?? [])]).toEqual([0, 1, `${text}@1.00`])
  expect(planPrompt('two frogs').branches[0]).toMatchObject({ weight: 1, changes: false })
})

test('choices follow the seed; without lists braces and underscores are text', () => {
  const wildcards = { colour: ['red', 'green', 'blue'], thing: ['a __colour__ {hat|shoe}'] }
  const made = (seed: number) => planPrompt('__thing__ {2$$x|y|z}', { wildcards, seed }).text
  expect(made(1)).toBe(made(1))
  expect(new Set(Array.from({ length: 30 }, (_, seed) => made(seed))).size).toBeGreaterThan(10)
  for (let seed = 0; seed < 20; seed++) expect(made(seed)).toMatch(/^a (red|green|blue) (hat|shoe) ([xyz]), (?!\3)[xyz]$/)
  expect(planPrompt('__colour__ {a|b}').text).toBe('__colour__ {a|b}')
  expect(planPrompt('\\{a|b\\} {c}', { wildcards: {} }).text).toBe('{a|b} c')
})

test('a weighted choice comes as often as it says', () => {
  const generator = new Generator(3)
  const counts = { a: 0, b: 0, c: 0 }
  for (let i = 0; i < 4000; i++) counts[expandWildcards('{3::a|b|0::c}', {}, generator) as 'a']++
  expect(counts.c).toBe(0)
  // Binomial with p = 3/4: 4000 draws deviate by 27 on average; five times that never comes.
  expect(Math.abs(counts.a - 3000)).toBeLessThan(137)
})

test('choices that do not end, or are not there, are refused', () => {
  const loop = { a: ['__b__'], b: ['__a__'] }
  expect(() => expandWildcards('__a__', loop, new Generator(0))).toThrow(PromptError)
  expect(() => expandWildcards('__a__', { a: ['__a__ __a__'] }, new Generator(0))).toThrow(PromptError)
  expect(() => expandWildcards('__a__', { a: ['x'.repeat(20_000)], b: [] }, new Generator(0))).not.toThrow()
  expect(() => expandWildcards('__a__ __a__', { a: ['x'.repeat(20_000)] }, new Generator(0))).toThrow('32000 characters')
  expect(() => expandWildcards('{a|'.repeat(3000), {}, new Generator(0))).not.toThrow()
  expect(() => expandWildcards(`${'{'.repeat(40)}${'}'.repeat(40)}`, {}, new Generator(0))).toThrow(PromptError)
  expect(() => expandWildcards('__none__', { colour: ['red'] }, new Generator(0))).toThrow(
    '__none__: no such list; lists: colour',
  )
  expect(() => expandWildcards('{0::a|0::b}', {}, new Generator(0))).toThrow('chooses nothing')
  expect(() => expandWildcards('__constructor__', {}, new Generator(0))).toThrow('no such list')
  expect(wildcardLines('\uFEFFred\r\n# no\n\n green ', 'x.txt')).toEqual(['red', 'green'])
})

test('any text with any marks is planned or refused, within bounds', () => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '|',
    '__a__',
    '2$$',
    '3::',
    '[',
    ']',
    ':',
    '0.5',
    ' AND ',
    '<lora:',
    '>',
    '(',
    ')',
    '\\',
    'cat',
    '".blend(',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), fc.constantFrom('a1111', 'compel', 'plain'), (pieces, syntax) => {
      try {
        const plan = planPrompt(pieces.join(''), { syntax: syntax as 'a1111', wildcards: { a: ['b', '{c|__a__}'] }, seed: 1 })
        for (const branch of plan.branches) branch.at(1, 3)
      } catch (error) {
        expect(error).toBeInstanceOf(PromptError)
      }
    }),
    { numRuns: 300, seed: 7 },
  )
})

test('compel blends and joins prompts by their weights', () => {
  expect(parseCompel('("a (b)++", "c, \\"d\\"").blend(0.7, 0.3)')).toMatchObject({
    kind: 'blend',
    normalise: true,
    items: [{ weight: 0.7 }, { weight: 0.3, parts: [{ text: 'c, "d"' }] }],
  })
  expect(parseCompel('("a","b").and()')).toMatchObject({ kind: 'and', items: [{ weight: 1 }, { weight: 1 }] })
  expect(parseCompel('("a","b").blend(1, -1, no_normalize)')).toMatchObject({ normalise: false })
  expect(parseCompel('a cat (in the sun)1.2').kind).toBe('runs')
  expect(() => parseCompel('("a", "b").blend(1)')).toThrow('1 weights for 2 prompts')
  expect(() => parseCompel('("a", "b").blend(1, x)')).toThrow('expected numbers')
  expect(() => parseCompel('("a", "b").blend(1, -1)')).toThrow('no_normalize')
  const of = (value: number, tokens = 1) => NdArray.from(Array(tokens * 2).fill(value), [1, tokens, 2])
  const blend = parseCompel('("a", "b").blend(3, 1)')
  if (blend.kind === 'runs') throw new Error('a blend was expected')
  // 3/4 · 4 + 1/4 · 8 = 5; where the first is filled with empty states: 3/4 · 100 + 1/4 · 8 = 77.
  expect([...combineStates(blend, [of(4), of(8, 2)], of(100)).data]).toEqual([5, 5, 77, 77])
  const and = parseCompel('("a", "b").and(1, 0.5)')
  if (and.kind === 'runs') throw new Error('a conjunction was expected')
  expect([...combineStates(and, [of(4), of(8)], of(100)).data]).toEqual([4, 4, 4, 4])
})

test('compel weighs up from the empty prompt, and down towards the prompt without the run', async () => {
  // An encoder whose states are the sum of the tokens that may be attended to, so that the right value is arithmetic.
  const tokenizer = {
    maxLength: 6,
    encode: (text: string) => text.trim().split(/\s+/).filter(Boolean).map(Number),
    frame: (ids: readonly number[]) => [0, ...ids, ...Array(5 - ids.length).fill(0)],
  } as unknown as ClipTokenizer
  const encode = async (chunks: readonly { ids: readonly number[]; mask: readonly boolean[] }[]) => {
    const sums = chunks.map(({ ids, mask }) => ids.reduce((sum, id, i) => sum + (mask[i] ? id : 0), 0))
    return NdArray.from(
      sums.flatMap((sum) => Array(6).fill(sum)),
      [chunks.length, 6, 1],
    )
  }
  const states = async (text: string) =>
    [...(await compelStates(tokenizer, parsedOf(text), encode)).data].map((x) => Number(x.toFixed(4)))
  const parsedOf = (text: string) => {
    const parsed = parseCompel(text)
    return parsed.kind === 'runs' ? parsed.parts : []
  }
  // Sum 30, empty 0: the weighted token's state is doubled, the others stay.
  expect(await states('10 (20)2.0')).toEqual([30, 30, 60, 30, 30, 30])
  // Weight 1/2: shares 1 and tan(π/4) = 1. Elsewhere (30 + 10)/2; at the token itself half of that.
  expect(await states('10 (20)0.5')).toEqual([20, 20, 10, 20, 20, 20])
  expect((await states('10 (20)0'))[1]).toBeCloseTo(10, 2)
  // Two chunks of four tokens.
  expect(await states('1 1 1 1 (5)3.0')).toEqual([4, 4, 4, 4, 4, 4, 5, 15, 5, 5, 5, 5])
})
