import { expect, test } from 'vitest'
import { topologicalOrder } from '../../src/core/grad.ts'
import { operations } from '../../src/core/index.ts'
import { rough } from './cases.ts'
import { allCases, drawCase, namesInFixture } from './suite.ts'

const drawn = new Map(allCases.map((c) => [c.name, new Set(topologicalOrder([drawCase(c).y]).map((x) => x.op.name))]))

test('every operation has cases, and the cases named after it draw it', () => {
  for (const [name, op] of Object.entries(operations)) expect(op.name).toBe(name)
  const lacking = Object.keys(operations).filter((name) => !allCases.some(({ group }) => group === name))
  expect(lacking).toEqual([])
  const others = allCases.filter(({ name, group }) => group in operations && !drawn.get(name)?.has(group))
  expect(others.map(({ name }) => name)).toEqual([])
})

test('PyTorch’s table and ours hold the same cases', () => {
  const names = allCases.map(({ name }) => name)
  expect([...names].sort()).toEqual([...namesInFixture].sort())
  expect([...rough].filter((name) => !names.includes(name))).toEqual([])
})
