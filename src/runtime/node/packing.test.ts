import { mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openSafetensors, writeSafetensors } from '../../checkpoints/safetensors.ts'
import type { Packing } from '../../core/graph.ts'
import { packInMemory } from '../../core/onnx/fill.ts'
import type { StoredValue } from '../../core/onnx/types.ts'
import { sizeOf } from '../../core/shape.ts'
import { Generator } from '../random.ts'
import { widened } from '../widen.ts'
import { layOut, WeightPacker } from './packer.ts'

function parentFolder(): string {
  const parent = mkdtempSync(join(tmpdir(), 'langevin-packing-'))
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }))
  return parent
}

/** A value of either sign, as a kernel might take it. */
const signs = ({ shape }: StoredValue): Packing => ({
  form: 'signs',
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
  const file = join(parentFolder(), 'weights.safetensors')
  const generator = new Generator(0)
  const arrays = new Map([3, 5000, 7, 64, 2000].map((size) => [`w${size}`, generator.randn([size])]))
  writeSafetensors(file, arrays, {}, { floats })
  return { file, arrays, weights: openSafetensors(file).tensors as ReadonlyMap<string, StoredValue> }
}

test.each(['f32', 'f16'] as const)('weights in a file are packed as those in memory, from %s', (floats) => {
  const { weights, arrays } = stored(floats)
  const packer = new WeightPacker()
  for (const [name, weight] of weights) {
    const packing = signs(weight)
    const { ranges, bytes } = layOut({ stored: weight, needed: [], packing }, 0)
    const packed = packer.pack({ stored: weight, needed: [], packing })
    expect(packed.length).toBe(bytes)
    const array = arrays.get(name)!.cast(floats)
    const expected = packInMemory(packing, widened(floats, array.data))
    for (const [i, { data }] of expected.entries()) {
      const { offset, length } = ranges[i]!
      expect(offset % 4096).toBe(0)
      expect(packed.slice(offset, offset + length)).toEqual(new Uint8Array(data.buffer))
    }
  }
  packer.free()
})

test('a file that ends before a weight is an error', () => {
  const { file, weights } = stored('f32')
  truncateSync(file, 15_000)
  const packer = new WeightPacker()
  const unstamped = [...weights.values()].map(({ dtype, shape, ...place }) => ({
    dtype,
    shape,
    file,
    offset: (place as never as { offset: number }).offset,
  }))
  expect(() => unstamped.map((weight) => packer.pack({ stored: weight, needed: [], packing: signs(weight) }))).toThrow(
    `${file} ends before a weight of`,
  )
  // With the stamp of its opening, it is known to be another file.
  expect(() =>
    [...weights.values()].map((weight) => packer.pack({ stored: weight, needed: [], packing: signs(weight) })),
  ).toThrow('the file has changed since its weights were opened')
  expect(statSync(file).size).toBe(15_000)
})
