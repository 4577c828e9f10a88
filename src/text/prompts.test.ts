import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseEditing, promptAt, splitAnd } from './editing.ts'
import { type PromptPart, type PromptSyntax, parsePrompt, takeLoras } from './emphasis.ts'
import { maxDepth, maxPrompt, PromptError } from './errors.ts'

/** Runs as pairs, a break as its name. */
const runs = (text: string, syntax: PromptSyntax = 'a1111') =>
  parsePrompt(text, syntax).map((part: PromptPart) =>
    part.kind === 'break' ? 'BREAK' : [part.text, Number(part.weight.toFixed(6))],
  )

test.each([
  ['normal text', [['normal text', 1]]],
  ['', [['', 1]]],
  [
    'an (important) word',
    [
      ['an ', 1],
      ['important', 1.1],
      [' word', 1],
    ],
  ],
  ['(unbalanced', [['unbalanced', 1.1]]],
  ['un)balanced]', [['un)balanced]', 1]]],
  ['\\(literal\\] \\\\ \\x', [['(literal] \\ \\x', 1]]],
  ['(unnecessary)(parens)', [['unnecessaryparens', 1.1]]],
  [
    '[less] ((more))',
    [
      ['less', 0.909091],
      [' ', 1],
      ['more', 1.21],
    ],
  ],
  [
    '(x:1.3), (y:.5), (z: 2 ), (w:-1)',
    [
      ['x', 1.3],
      [', ', 1],
      ['y', 0.5],
      [', ', 1],
      ['z', 2],
      [', ', 1],
      ['w', -1],
    ],
  ],
  [
    'time 10:30 (at 10:30)',
    [
      ['time 10:30 ', 1],
      ['at 10', 30],
    ],
  ],
  [
    '(none:0) kept',
    [
      ['none', 0],
      [' kept', 1],
    ],
  ],
  [
    'a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).',
    [
      ['a ', 1],
      ['house', 1.573],
      [' ', 1.1],
      ['on', 1],
      [' a ', 1.1],
      ['hill', 0.55],
      [', sun, ', 1.1],
      ['sky', 1.4641],
      ['.', 1.1],
    ],
  ],
  [
    'one BREAK two BREAKFAST (three BREAK four)',
    [['one ', 1], 'BREAK', [' two BREAKFAST ', 1], ['three ', 1.1], 'BREAK', [' four', 1.1]],
  ],
])('a1111: %s', (text, expected) => expect(runs(text)).toEqual(expected))

test.each([
  [
    'a cat++ on a mat--',
    [
      ['a ', 1],
      ['cat', 1.21],
      [' on a ', 1],
      ['mat', 0.81],
    ],
  ],
  [
    '(a red cat)+ sleeps',
    [
      ['a red cat', 1.1],
      [' sleeps', 1],
    ],
  ],
  [
    '(a (red)++ cat)-',
    [
      ['a ', 0.9],
      ['red', 1.089],
      [' cat', 0.9],
    ],
  ],
  [
    '(heavy)1.4, (light)0.5',
    [
      ['heavy', 1.4],
      [', ', 1],
      ['light', 0.5],
    ],
  ],
  ['(plain) text', [['plain text', 1]]],
  ['mid-century c++11, x - y', [['mid-century c++11, x - y', 1]]],
  ['\\(cat\\)\\+ (open', [['(cat)+ (open', 1]]],
  [
    'cat+, dog.',
    [
      ['cat', 1.1],
      [', dog.', 1],
    ],
  ],
])('compel: %s', (text, expected) => expect(runs(text, 'compel')).toEqual(expected))

test('a plain prompt is left as it is', () => expect(runs('a ((b)) BREAK [c]++', 'plain')).toEqual([['a ((b)) BREAK [c]++', 1]]))

test('edits and alternatives are read as data, and each step has its prompt', () => {
  const nodes = parseEditing('a [cat:dog:0.5] and [red|green] (hat:1.2) [new:5] [old::8] [small]')
  expect(nodes.map(({ kind }) => kind)).toEqual(['text', 'edit', 'text', 'alternate', 'text', 'edit', 'text', 'edit', 'text'])
  const at = (step: number) => promptAt(nodes, step, 20)
  expect(at(0)).toBe('a cat and red (hat:1.2)  old [small]')
  expect(at(5)).toBe('a cat and green (hat:1.2) new old [small]')
  expect(at(9)).toBe('a cat and green (hat:1.2) new  [small]')
  expect(at(10)).toBe('a dog and red (hat:1.2) new  [small]')
  const nested = parseEditing('[a [x|y]:(b:1.1):2] \\[c:d:1\\]')
  expect([0, 1, 2].map((step) => promptAt(nested, step, 10))).toEqual([
    'a x \\[c:d:1\\]',
    'a y \\[c:d:1\\]',
    '(b:1.1) \\[c:d:1\\]',
  ])
  for (const text of ['[a:b:c]', '[a', 'a]', '(a [b:c) d', '[a:b|c:3]', '[(a:b:1]'])
    expect(promptAt(parseEditing(text), 3, 9)).toBe(text)
})

test('AND parts a prompt into several, each with its weight', () => {
  expect(splitAnd('a cat AND a dog :0.5 AND BAND')).toEqual([
    { text: 'a cat', weight: 1 },
    { text: 'a dog', weight: 0.5 },
    { text: 'BAND', weight: 1 },
  ])
  expect(splitAnd('(x:1.3)')).toEqual([{ text: '(x:1.3)', weight: 1 }])
})

test('LoRAs are taken out of a prompt', () => {
  expect(takeLoras('a <lora:ink:0.7>cat<lora:pixel art> <lora:x:y>')).toEqual({
    text: 'a cat <lora:x:y>',
    loras: [
      { name: 'ink', weight: 0.7 },
      { name: 'pixel art', weight: 1 },
    ],
  })
})

test('hostile prompts are answered within 100 ms of the processor', () => {
  const within = (call: () => unknown, refused: boolean) => {
    const milliseconds = () => {
      const before = process.cpuUsage()
      if (refused) expect(call).toThrow(PromptError)
      else call()
      const { user, system } = process.cpuUsage(before)
      return (user + system) / 1000
    }
    // Compiling and collecting garbage are counted too, and come when they like: the least of three.
    expect(Math.min(milliseconds(), milliseconds(), milliseconds())).toBeLessThan(100)
  }
  const readers = [(text: string) => parsePrompt(text, 'a1111'), (text: string) => parsePrompt(text, 'compel'), parseEditing]
  for (const read of readers) {
    within(() => read('('.repeat(100_000)), true)
    within(() => read('('.repeat(maxDepth + 1)), true)
    within(() => read('a'.repeat(maxPrompt + 1)), true)
    for (const one of ['(a:1.1) ', '1', 'a+', ': ', '[a|', '\\', '+', ':1', 'BREAK ']) {
      within(
        () => read(one.repeat(Math.floor(maxPrompt / one.length)).replaceAll('[a|', (x, i: number) => (i < 150 ? x : 'a|'))),
        false,
      )
    }
    within(() => read(`${'('.repeat(100)}${'a:1'.repeat(10_000)}${')'.repeat(100)}`), false)
    within(() => read(`(a:${'1'.repeat(31_990)}`), false)
  }
  within(() => splitAnd(`a:${'1'.repeat(31_990)}x`), false)
  within(() => takeLoras('<lora:'.repeat(5000)), false)
  within(() => takeLoras(`<lora:a:${'1'.repeat(31_900)}`), false)
})

test('any text is read, and nothing but brackets and weights is lost', () => {
  const piece = fc.constantFrom(
    '(',
    ')',
    '[',
    ']',
    ':',
    ':1.5)',
    '|',
    '+',
    '--',
    '\\',
    ' ',
    'BREAK',
    'cat',
    '1.5',
    'é',
    '🐱',
    ',',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const text = pieces.join('')
      const letters = (s: string) => s.replaceAll('BREAK', '').replace(/[^é🐱cat,]/gu, '')
      for (const syntax of ['a1111', 'compel'] as const) {
        const found = parsePrompt(text, syntax).flatMap((part) => (part.kind === 'text' ? [part.text] : []))
        expect(letters(found.join(''))).toBe(letters(text))
      }
      promptAt(parseEditing(text), 1, 3)
    }),
    { numRuns: 300 },
  )
})
