import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cleanCaption, plainCaption } from './caption.ts'
import { PromptError } from './errors.ts'

const file = new URL('../../parity/fixtures/captions.json', import.meta.url)
const { captions } = JSON.parse(readFileSync(file, 'utf8')) as { captions: [text: string, cleaned: string][] }

test('captions are cleaned as diffusers cleans them', () => {
  const differing = captions.filter(([text, cleaned]) => cleanCaption(text) !== cleaned)
  expect(captions.length).toBeGreaterThan(150)
  expect(differing.map(([text, cleaned]) => [text, cleanCaption(text), cleaned])).toEqual([])
})

test('a caption that is not cleaned loses capitals and blanks at its ends', () => {
  expect(plainCaption(' \x1c A Fox (oil) \u3000\n')).toBe('a fox (oil)')
})

test('cleaning ends in time, whatever the text', () => {
  for (const text of ['a.', 'a1', '<a ', '<a href="', '<!--', '-', ' .', '"', '@a', '1.'].map((part) =>
    part.repeat(32_000 / part.length),
  )) {
    const began = performance.now()
    cleanCaption(text)
    expect(performance.now() - began, text.slice(0, 4)).toBeLessThan(4000)
  }
  expect(() => cleanCaption('a'.repeat(32_001))).toThrow(PromptError)
})

test('no text is too odd', () => {
  const part = fc.constantFrom(
    '<b>',
    '</',
    '<',
    '>',
    '&',
    '&#',
    '&amp;',
    ';',
    'a1',
    ' ',
    '"',
    "'",
    '\u2028',
    '%e2',
    '#12',
    '.',
    '<!--',
    '-->',
    '\ud800',
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 30 }), (parts) => typeof cleanCaption(parts.join('')) === 'string'),
    { seed: 1 },
  )
})
