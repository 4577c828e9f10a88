import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { input } from '../../../core/tensor.ts'
import { sceneDataset } from '../../../data/index.ts'
import { Params } from '../../../nn/params.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import { drawLayouts, layoutHead, layoutOf, questions } from './layout-head.ts'

const folder = mkdtempSync(join(tmpdir(), 'langevin-layouts-'))
afterAll(() => rmSync(folder, { recursive: true }))
const scenes = () => sceneDataset({ size: 16, styles: ['noto'], folder })

test('what a caption tells of a layout is how its objects stand, and nothing where it tells none', async () => {
  const dataset = await scenes()
  const seen = new Set<string>()
  for (let position = 0; position < 800; position++) {
    const scene = dataset.sceneAt(position)
    const caption = dataset.captionAt(position)
    const layout = layoutOf(scene, caption, dataset.nouns)
    expect(layout !== undefined, caption.text).toBe(caption.described.relation || caption.described.position)
    for (const [question, answer] of Object.entries(layout ?? {})) {
      seen.add(question)
      const axis = ['top', 'bottom', 'row'].includes(question) ? 'y' : 'x'
      if (question === 'column' || question === 'row') {
        expect(Math.abs((scene.objects[0]?.[axis] as number) - [0.22, 0.5, 0.78][answer]!), caption.text).toBeLessThan(0.051)
        continue
      }
      const own = scene.objects.filter(({ icon }) => icon === dataset.nouns[answer]?.icon)
      const others = scene.objects.filter((object) => !own.includes(object))
      expect(own.length, caption.text).toBeGreaterThan(0)
      const sign = question === 'left' || question === 'top' ? 1 : -1
      for (const object of own)
        for (const other of others) expect(sign * (other[axis] - object[axis]), caption.text).toBeGreaterThan(0)
    }
  }
  expect([...seen].sort()).toEqual(['bottom', 'column', 'left', 'right', 'row', 'top'])
})

test('layouts are drawn until there are enough, the same from one seed; every caption answers two questions', async () => {
  const dataset = await scenes()
  const [first, again] = [drawLayouts(dataset, new Generator(3), 9), drawLayouts(dataset, new Generator(3), 9)]
  expect(first).toEqual(again)
  expect([first.captions.length, first.answers.shape, first.told.shape]).toEqual([
    9,
    [9 * questions.length],
    [9 * questions.length],
  ])
  for (let i = 0; i < 9; i++)
    expect([...first.told.data.slice(i * questions.length, (i + 1) * questions.length)].filter((one) => one === 1)).toHaveLength(
      2,
    )
})

test('data whose captions tell no layout are refused, not drawn from for ever', async () => {
  const dataset = await scenes()
  const silent = { ...dataset, captionAt: (position: number) => ({ ...dataset.captionAt(position), described: {} }) }
  expect(() => drawLayouts(silent as typeof dataset, new Generator(0), 1)).toThrow('no layout in 1000 captions')
})

test('the head looks at the states alone: another order of them gives the same', async () => {
  const p = new Params('layout')
  const out = layoutHead(p, 32, 5)(input('states', [2, 4, 32]))
  expect(out.shape).toEqual([2, questions.length, 5])
  const program = await compile({ outputs: { out }, weights: p.initialise(new Generator(0)) })
  const states = new Generator(1).randn([2, 4, 32])
  const read = async (x: NdArray) => (await program.run({ states: x })).out as NdArray
  const [a, b] = [await read(states), await read(NdArray.concat([states.slice(1, 2, 4), states.slice(1, 0, 2)], 1))]
  expect(maxDifference(a, b)).toBeLessThan(1e-5)
  expect(maxDifference(a.slice(0, 0, 1), a.slice(0, 1, 2))).toBeGreaterThan(1e-3)
})
