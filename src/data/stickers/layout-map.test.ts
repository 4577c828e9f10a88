import { expect, test } from 'vitest'
import { layoutColour, layoutMap } from './layout-map.ts'
import { sceneNouns } from './nouns.ts'

test('every object has a colour of its own, far from black', () => {
  const colours = sceneNouns().map(({ icon }) => layoutColour(icon.name))
  expect(new Set(colours.map(String)).size).toBe(colours.length)
  for (const colour of colours) expect(Math.max(...colour)).toBeGreaterThanOrEqual(128)
  expect(() => layoutColour('dragon')).toThrow('dragon is no object')
})

test('a layout is boxes in the colours of their objects within lines of black, the last above', () => {
  const map = layoutMap(
    [
      { name: 'fox', box: [0.125, 0.25, 0.625, 0.75] },
      { name: 'star', box: [0.5, 0.25, 1, 0.75] },
    ],
    { width: 16, height: 16 },
  )
  const at = (x: number, y: number) => [...map.data.slice((y * 16 + x) * 3, (y * 16 + x) * 3 + 3)]
  expect(at(4, 8)).toEqual(layoutColour('fox'))
  expect(at(9, 8)).toEqual(layoutColour('star'))
  for (const [x, y] of [
    [0, 0],
    [2, 8],
    [8, 8],
    [15, 8],
    [4, 4],
  ] as const)
    expect(at(x, y)).toEqual([0, 0, 0])
})
