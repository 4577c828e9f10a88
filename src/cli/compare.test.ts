import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { ComparedModel, Comparison } from '../recipes/evaluation/compare.ts'
import { comparisonCharts, comparisonTable, ideaOf } from '../recipes/evaluation/comparison-tables.ts'
import { provenanceOf } from '../recipes/evaluation/provenance.ts'
import { main } from './program.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-compare-'))
afterAll(() => rmSync(desk, { recursive: true, force: true }))

async function compare(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(['compare', ...args], { out: sink('out'), err: sink('err') }), ...written }
}

const rate = { share: 0.5, of: 10, low: 0.4, high: 0.6 }
const rates = { exact: rate, object: rate, precision: rate } as unknown as ComparedModel['rates']
const frechet = { distance: 3, error: 0.5 } as ComparedModel['frechet']
const model: ComparedModel = {
  ...{ name: 'a + b', recipe: 'imagen', stages: 2, candidates: 1, steps: 20, guidance: 4, side: 64, rates, frechet },
  ...{ parameters: 5e6, own: [{ name: 'a', coreHours: 1.5 }], before: [{ name: 'c', coreHours: 0.5 }], seconds: 0.5 },
}
const comparison: Comparison = {
  ...{ kind: 'comparison', captions: 10, seed: 0, judge: 'stickers-judge', real: { rates, frechet }, models: [model] },
}

test('a row says what idea a model is, what making it took and what a picture takes', () => {
  const [head, real, row] = comparisonTable(comparison)
  expect(head?.[0]).toBe('10 test captions')
  expect(real?.slice(-5)).toEqual(['–', '–', '–', '–', '–'])
  expect(row?.slice(0, 2)).toEqual([
    'a + b',
    'pixels from a frozen T5 (Saharia et al. 2022); a cascade of 2 stages (Ho et al. 2022)',
  ])
  expect(row?.slice(6)).toEqual(['5.0 M', '1.5', '0.5', '0.5', '64×64'])
  expect(ideaOf({ ...model, recipe: undefined, stages: 1, candidates: 64 })).toBe('the best of 64 by CLIP')
  expect(comparisonCharts(comparison).training?.series[0]?.points).toEqual([[2, 50]])
})

test('a bundled model is known with the models that it needed first', () => {
  const { parameters, recipes, own, before } = provenanceOf(['zoo/stickers-t2i'])
  expect(parameters).toBeGreaterThan(12e6)
  expect(recipes).toEqual(['text-to-image'])
  expect(own[0]?.coreHours).toBeCloseTo(3.57, 1)
  expect(before.map(({ name }) => name)).toEqual(expect.arrayContaining(['stickers-clip', 'stickers-vae']))
})

test('what was measured goes between the marks of a page, and all else of it stays', async () => {
  const [out, page] = [join(desk, 'pictures'), join(desk, 'page.md')]
  cpSync('docs/pictures/paths.png', join(out, 'training.png'))
  writeFileSync(join(out, 'comparison.json'), JSON.stringify(comparison))
  writeFileSync(page, '# A\n\n<!-- compared -->\nold\n<!-- /compared -->\n\nB\n')
  const { code, out: said } = await compare('--out', out, '--page', page, '--num', '10')
  expect([code, said.includes('a + b')]).toEqual([0, true])
  const text = readFileSync(page, 'utf8')
  expect(text).toMatch(/^# A\n\n<!-- compared -->\n\| 10 test captions \|/)
  expect(text).toContain('(pictures/training.png)')
  expect(text).not.toContain('old')
  expect(text).toMatch(/<!-- \/compared -->\n\nB\n$/)
})

test('a comparison of all held-out captions goes on, whatever more of them is asked for', async () => {
  const out = join(desk, 'whole')
  cpSync('docs/pictures/paths.png', join(out, 'training.png'))
  writeFileSync(join(out, 'comparison.json'), JSON.stringify({ ...comparison, captions: 500 }))
  expect(await compare('no-such-model', '--num', '800', '--out', out)).toMatchObject({
    err: expect.stringContaining('no-such-model'),
  })
  expect(await compare('stickers-t2i', '--num', '400', '--out', out)).toMatchObject({
    err: expect.stringContaining('is of 500 captions'),
  })
})

test.each([
  [[], 'is not there yet: name a model'],
  [['stickers-t2i; candidates=0'], 'of no candidates none is the best'],
  [['stickers-t2i; sted=3'], 'expected OPTION=VALUE with an option of a model'],
  [['no-such-model'], 'no-such-model'],
  [['stickers-t2i', '--page', 'README.md'], 'has no <!-- compared -->'],
])('%j is refused', async (args, said) => {
  const { code, err } = await compare(...args, '--out', join(desk, 'none'))
  expect([code, err]).toEqual([expect.any(Number), expect.stringContaining(said)])
  expect(code).not.toBe(0)
})
