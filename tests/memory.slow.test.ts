import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeSafetensors } from '../src/checkpoints/safetensors.ts'
import { Params } from '../src/nn/params.ts'
import type { NdArray } from '../src/runtime/ndarray.ts'
import { Generator } from '../src/runtime/random.ts'
import { type Found, network } from './memory.ts'

const params = new Params()
network(params)
const stored = 2 * params.count
/** The largest layer, widened to 32 bits. */
const layer = 4 * Math.max(...[...params.tensors.values()].map(({ size }) => size))

const folder = mkdtempSync(join(tmpdir(), 'langevin-memory-'))
const file = join(folder, 'weights.safetensors')
afterAll(() => rmSync(folder, { recursive: true }))

/** Weights in float16: one layer's numbers for all layers of its shape, each layer at a scale of its own. */
beforeAll(() => {
  const made = new Map<string, NdArray>()
  const weights = [...params.tensors].map(([key, { shape }], i) => {
    const fanIn = shape.slice(1).reduce((a, b) => a * b, 1)
    const name = shape.join()
    const numbers = made.get(name) ?? new Generator(0).randn(shape).mul(1 / Math.sqrt(fanIn))
    made.set(name, numbers)
    return [key, numbers.mul(1 + i / 100).cast('f16')] as const
  })
  writeSafetensors(file, new Map(weights))
  const then = Date.now() / 1000 - 60
  utimesSync(file, then, then)
})

/** In a process of its own. */
function opened(memory: 'size' | 'speed'): Found {
  const env = { ...process.env, LANGEVIN_CACHE: join(folder, 'cache') }
  const child = spawnSync(process.execPath, [join(import.meta.dirname, 'memory-program.ts'), file, memory], {
    encoding: 'utf8',
    env,
  })
  expect(child.stderr).toBe('')
  return JSON.parse(child.stdout)
}

describe.runIf(process.platform === 'linux')(`${(params.count / 1e6).toFixed(0)} million parameters in 16 bits`, () => {
  test('kept in 16 bits, compile and run within 1.2 of their size and one layer', () => {
    const { rise, packed } = opened('size')
    expect(packed).toBe(0)
    expect(rise).toBeLessThan(1.2 * stored + layer)
  })

  test('packed, a second process packs nothing and has none of the packed weights for itself', () => {
    const [first, second] = [opened('speed'), opened('speed')]
    expect(first.packed).toBe(params.tensors.size)
    expect(second.packed).toBe(0)
    expect(second.sum).toBe(first.sum)
    expect(second.mapped).toBeGreaterThan(stored)
    expect(second.own).toBe(0)
    expect(second.anonymous).toBeLessThan(0.5 * second.mapped)
  })
})
