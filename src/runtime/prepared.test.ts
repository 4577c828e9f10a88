import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openSafetensors, writeSafetensors } from '../checkpoints/safetensors.ts'
import type { StoredValue } from '../core/onnx/lower.ts'
import type { Arrangement } from '../core/ops/op.ts'
import { sizeOf } from '../core/shape.ts'
import { PreparedWeights, temporaryFolder } from './prepared.ts'
import { Generator } from './random.ts'

test('weights that a killed process left are removed, those of running and recent ones are not', () => {
  const parent = mkdtempSync(join(tmpdir(), 'langevin-prepared-'))
  const left = (pid: number, hours: number) => {
    const folder = join(parent, `langevin-weights-${pid}-abc${hours}`)
    mkdirSync(folder)
    const then = Date.now() / 1000 - 3600 * hours
    utimesSync(folder, then, then)
    return folder
  }
  const gone = 2 ** 22 + 1 // Above the largest number that Linux gives a process.
  const [old, recent, own] = [left(gone, 2), left(gone, 0), left(process.pid, 2)]
  const other = join(parent, 'someone-elses-1-x')
  mkdirSync(other)
  const made = temporaryFolder(parent)
  expect([old, recent, own, other, made].map((folder) => existsSync(folder))).toEqual([false, true, true, true, true])
  rmSync(parent, { recursive: true })
})

/** A value of either sign, as the engine's kernels might take it. */
const signs = ({ shape }: StoredValue): Arrangement => ({
  results: [
    { type: 'f32', shape },
    { type: 's8', shape: [sizeOf(shape)] },
  ],
  fill: (values, [negative, sign]) => {
    for (const [i, value] of values.entries()) {
      ;(negative as Float32Array)[i] = -value
      ;(sign as Int8Array)[i] = Math.sign(value)
    }
  },
})

function stored(floats: 'f32' | 'f16') {
  const folder = mkdtempSync(join(tmpdir(), 'langevin-prepared-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'weights.safetensors')
  const generator = new Generator(0)
  const weights = new Map([3, 5000, 7, 64, 2000].map((size) => [`w${size}`, generator.randn([size])]))
  writeSafetensors(file, weights, {}, { floats })
  return { file, weights: openSafetensors(file).tensors }
}

test.each(['f32', 'f16'] as const)('weights in a file are arranged into another one, from %s', (floats) => {
  const { weights } = stored(floats)
  const prepared = new PreparedWeights(weights)
  const placed = [...weights.values()].map((weight) => [weight, prepared.arrange(weight, signs(weight))] as const)
  const files = new Set(placed.flatMap(([, results]) => results.map((result) => ('file' in result ? result.file : ''))))
  const [file] = [...files] as [string]
  expect(files.size).toBe(1)
  const bytes = readFileSync(file)
  for (const [weight, results] of placed) {
    const expected = prepared.read(weight)
    const [negative, sign] = results.map((result) => {
      if (!('file' in result)) throw new Error('in memory')
      expect(result.offset % 4096).toBe(0)
      return bytes.buffer.slice(bytes.byteOffset + result.offset, bytes.byteOffset + result.offset + result.length)
    }) as [ArrayBuffer, ArrayBuffer]
    expect(new Float32Array(negative)).toEqual(expected.map((value) => -value))
    expect(new Int8Array(sign)).toEqual(Int8Array.from(expected, Math.sign))
  }
  prepared.remove()
  expect(existsSync(dirname(file))).toBe(false)
})

test('a file that ends before a weight is an error', () => {
  const { file, weights } = stored('f32')
  const prepared = new PreparedWeights(weights)
  truncateSync(file, 15_000)
  const all = (use: (weight: StoredValue) => unknown) => () => [...weights.values()].map(use)
  expect(all((weight) => prepared.arrange(weight, signs(weight)))).toThrow(`${file} ends before a weight of`)
  expect(all((weight) => prepared.read(weight))).toThrow(`${file} ends before a weight of`)
  prepared.remove()
})
