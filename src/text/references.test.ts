import { expect, test } from 'vitest'
import { plainCaption } from './caption.ts'
import { referencesIn, withReferences } from './references.ts'

test('pictures are named in a prompt, and each name is a token of its own', () => {
  expect(referencesIn('a [ref#2] beside a [ref#1], in the style of [ref#2]')).toEqual([1, 2])
  expect(withReferences('A [ref#1] on a Beach', 1, plainCaption)).toBe('a <extra_id_0> on a beach')
  expect(withReferences('[ref#2][ref#1]', 2, plainCaption)).toBe('<extra_id_1> <extra_id_0>')
  expect(withReferences('a fox', 0, plainCaption)).toBe('a fox')
})

test('names without a picture and pictures without a name are told', () => {
  expect(() => withReferences('a [ref#2]', 1, plainCaption)).toThrow('it names [ref#2], and 1 pictures are given')
  expect(() => withReferences('a [ref#1]', 0, plainCaption)).toThrow('no picture is given')
  expect(() => withReferences('a [ref#0]', 1, plainCaption)).toThrow('it names [ref#0]')
  expect(() => withReferences('a fox', 1, plainCaption)).toThrow('write [ref#1] where it is meant')
})
