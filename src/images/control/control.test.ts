import { expect, test } from 'vitest'
import { fixture } from '../../../tests/fixture.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { blur, canny, foreground, outline, overlap, scribble } from './index.ts'

/** A picture of characters: `.` the background, each other character a level. */
function drawn(rows: readonly string[], levels: Readonly<Record<string, number>>) {
  const data = rows.flatMap((row) => [...row].flatMap((one) => Array<number>(3).fill(levels[one] as number)))
  return new NdArray(Uint8Array.from(data), [rows.length, (rows[0] as string).length, 3], 'u8')
}
const shown = (mask: ArrayLike<number>, width: number) =>
  Array.from({ length: mask.length / width }, (_, y) =>
    Array.from({ length: width }, (_, x) => (mask[y * width + x] ? '#' : '.')).join(''),
  )

test('what stands before the background: what it encloses too, and not what lies open to the edge', () => {
  const ring = ['.......', '.###...', '.#.#.#.', '.###.#.', '.....##']
  const picture = drawn(ring, { '.': 200, '#': 90 })
  expect(shown(foreground(picture), 7)).toEqual(['.......', '.###...', '.###.#.', '.###.#.', '.....##'])
  // A little uneven is still plain.
  const uneven = drawn(['abab', 'b#xa', 'abab'], { a: 200, b: 170, '#': 90, x: 120 })
  expect(shown(foreground(uneven), 4)).toEqual(['....', '.##.', '....'])
})

test('an outline is the outermost pixels of the objects, closed where they leave the picture; it stands for what it encloses', () => {
  const rows = ['......', '.####.', '.####.', '.####.', '.####.', '......', '####..', '####..', '####..']
  const picture = drawn(rows, { '.': 0, '#': 255 })
  const lines = outline(picture)
  const bright = Uint8Array.from({ length: 54 }, (_, i) => (lines.data[3 * i] as number) / 255)
  expect(shown(bright, 6)).toEqual(['......', '.####.', '.#..#.', '.#..#.', '.####.', '......', '####..', '#..#..', '####..'])
  expect(foreground(lines)).toEqual(foreground(picture))
})

test('overlap is intersection over union', () => {
  expect(overlap(Uint8Array.of(1, 1, 0, 0), Uint8Array.of(0, 1, 1, 0))).toBeCloseTo(1 / 3)
  expect([overlap(Uint8Array.of(0, 0), Uint8Array.of(0, 0)), overlap(Uint8Array.of(1, 0), Uint8Array.of(0, 1))]).toEqual([1, 0])
})

test.each([
  ['shapes', 100, 200],
  ['noise', 100, 200],
  ['grey', 40, 130],
] as const)("edges of %s are OpenCV's, every pixel", (name, low, high) => {
  const { tensors } = fixture('canny')
  const made = canny(tensors.get(name) as NdArray<'u8'>, { low, high })
  const edges = tensors.get(`${name} edges`) as NdArray<'u8'>
  const differing = [...edges.data].filter((level, i) => level !== made.data[3 * i])
  expect(differing.length).toBe(0)
  expect(edges.data.some((level) => level > 0)).toBe(true)
})

test('a scribble lies along the edges, wider; a blur keeps the colours and loses the lines', () => {
  const picture = fixture('canny').tensors.get('shapes') as NdArray<'u8'>
  const share = ({ data, size }: NdArray<'u8'>) => data.filter((level) => level === 255).length / size
  expect(share(scribble(picture))).toBeGreaterThan(1.5 * share(canny(picture)))
  const blurred = blur(picture)
  const mean = ({ data, size }: NdArray<'u8'>) => data.reduce((sum, level) => sum + level, 0) / size
  expect(Math.abs(mean(blurred) - mean(picture))).toBeLessThan(4)
  expect(share(canny(blurred))).toBeLessThan(share(canny(picture)) / 2)
})
