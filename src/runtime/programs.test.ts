import { expect, test, vi } from 'vitest'
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

test('who asks at a time gets one program; one that fails does not hurt the next', async () => {
  const made: number[] = []
  let fail: (error: Error) => void = () => undefined
  const programs = new Programs((n: number) => {
    made.push(n)
    return n === 0 ? new Promise((_, reject) => (fail = reject)) : compile({ outputs: { y: input('x', [n]).mul(2) } })
  }, 1)
  const [a, b] = await Promise.all([programs.get(1), programs.get(1)])
  expect(a).toBe(b)
  const failing = programs.get(0)
  const next = programs.get(2)
  await vi.waitFor(() => expect(made).toContain(0))
  fail(new Error('no size'))
  await expect(failing).rejects.toThrow('no size')
  expect((await (await next).run({ x: NdArray.full([2], 1) })).y?.size).toBe(2)
  expect(made).toEqual([1, 0, 2])

  // A program that runs is freed after its run.
  const running = (await next).run({ x: NdArray.full([2], 1) })
  await programs.get(3)
  expect((await running).y?.size).toBe(2)
  await programs.release()
})

test('a failure forgets its own program only', async () => {
  const failures: ((error: Error) => void)[] = []
  const programs = new Programs((n: number) =>
    failures.length === 0
      ? new Promise((_, reject) => failures.push(reject))
      : compile({ outputs: { y: input('x', [n]).mul(2) } }),
  )
  const failing = programs.get(2)
  const released = programs.release()
  const made = await programs.get(2)
  failures[0]?.(new Error('too late'))
  await expect(failing).rejects.toThrow('too late')
  await released
  expect(await programs.get(2)).toBe(made)
  await programs.release()
})
