import { expect, test } from 'vitest'
import { input } from '../core/tensor.ts'
import { NdArray } from './ndarray.ts'
import { compile } from './program.ts'
import { Programs } from './programs.ts'

test('programs are made once, the least used freed, and failures forgotten', async () => {
  const made: number[] = []
  const programs = new Programs((n: number) => {
    made.push(n)
    if (n === 0) throw new Error('no size')
    return compile({ outputs: { y: input('x', [n]).mul(2) } })
  })
  const run = async (n: number) => (await (await programs.get(n)).run({ x: NdArray.full([n], 1) })).y?.sum().item()
  const [two, first] = [await run(2), await programs.get(2)]
  expect(two).toBe(4)
  expect([await run(3), await run(2), made]).toEqual([6, 4, [2, 3]])

  await run(4)
  expect([await run(2), made]).toEqual([4, [2, 3, 4]])
  await run(3)
  expect(made).toEqual([2, 3, 4, 3])

  await expect(programs.get(0)).rejects.toThrow('no size')
  await expect(programs.get(0)).rejects.toThrow('no size')
  expect(made).toEqual([2, 3, 4, 3, 0, 0])

  await programs.release()
  await expect(first.run({ x: NdArray.full([2], 1) })).rejects.toThrow()
  expect(await run(2)).toBe(4)
  await programs.release()
})
