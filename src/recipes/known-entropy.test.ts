import { expect, test } from 'vitest'
import { grammarOf } from '../data/index.ts'
import { entropyChart, measureKnownEntropy } from './known-entropy.ts'

const rule = (odds: number, ...parts: string[]) => ({ odds, parts })

test('bounds of networks that learn a grammar come near its entropy and not below', {
  timeout: 60_000,
}, async () => {
  const grammar = grammarOf({
    S: [rule(0.5, 'one', 'runs'), rule(0.5, 'many', 'run')],
    one: [rule(0.5, 'cat'), rule(0.5, 'dog')],
    many: [rule(0.5, 'cats'), rule(0.5, 'dogs')],
  })
  const found = await measureKnownEntropy({ steps: 40, seed: 0, texts: 32, written: 2, grammar })
  expect(found.entropy).toBeCloseTo(2, 9)
  expect(found.bounds.map(({ name }) => name)).toEqual(['AR', 'BD3(4)', 'BD3(16)', 'MDLM'])
  for (const { name, above, interval, learning } of found.bounds) {
    expect(above + interval, name).toBeGreaterThan(0)
    expect(above, name).toBeLessThan((learning[0]?.[1] as number) / 2)
  }
  expect(found.orders.map(({ order, steps }) => `${order} ${steps}`)).toContain('confidence 8')
  expect(entropyChart(found).series).toHaveLength(5)
})
