import { readdirSync } from 'node:fs'
import { afterEach, expect, test, vi } from 'vitest'
import { input } from '../../core/tensor.ts'
import { compile } from '../program.ts'

afterEach(() => void vi.unstubAllEnvs())

const program = (threads?: number) =>
  compile({ outputs: { y: input('x', [2]).add(1) } }, threads === undefined ? {} : { threads })

test.runIf(process.platform === 'linux')('LANGEVIN_THREADS is how many cores a session uses, unless an option says', async () => {
  const running = () => readdirSync('/proc/self/task').length
  const added = async (threads?: number) => {
    const before = running()
    const made = await program(threads)
    const count = running() - before
    await made.release()
    return count
  }
  vi.stubEnv('LANGEVIN_THREADS', '1')
  await added() // Loads ONNX Runtime, which has threads of its own.
  expect([await added(), await added(3)]).toEqual([0, 2])
  vi.stubEnv('LANGEVIN_THREADS', '4')
  expect([await added(), await added(1)]).toEqual([3, 0])
})

test.each(['many', '1.5', '-1'])('LANGEVIN_THREADS=%s is refused', async (text) => {
  vi.stubEnv('LANGEVIN_THREADS', text)
  await expect(program()).rejects.toThrow(`LANGEVIN_THREADS is "${text}": give a number of processor cores`)
})
