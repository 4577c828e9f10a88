import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { contentOf } from '../../tests/checkpoints.ts'
import { sizeOf } from '../core/shape.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { readTensor } from './safetensors.ts'
import { fromSd3, toSd3 } from './sd3-keys.ts'

const { cases }: { cases: Record<string, { original: Record<string, number[]>; converted: Record<string, unknown[]> }> } =
  JSON.parse(readFileSync(new URL('../../parity/fixtures/sd3_keys.json', import.meta.url), 'utf8'))

test.each(Object.entries(cases))(
  "%s: keys and elements as diffusers' conversion has them, and back",
  (_, { original, converted }) => {
    let offset = 0
    const weights = new Map(
      Object.entries(original).map(([key, shape]) => {
        const size = sizeOf(shape)
        const data = Float32Array.from({ length: size }, (_, i) => offset + i)
        offset += size
        return [key, new NdArray(data, shape, 'f32')]
      }),
    )
    const found = fromSd3(weights)
    expect(found.unknown).toEqual([])
    const told = [...found.weights].map(([key, value]) => {
      const { data, shape } = readTensor(value)
      return [key, [[...shape], ...[0, Math.floor(data.length / 2), data.length - 1].map((i) => Number(data[i]))]]
    })
    expect(Object.fromEntries(told)).toEqual(converted)
    const back = toSd3(found.weights)
    expect(back.unknown).toEqual([])
    const contents = (all: typeof found.weights) => new Map([...all].map(([key, value]) => [key, contentOf(readTensor(value))]))
    expect(contents(back.weights)).toEqual(contents(weights))
    expect(fromSd3(new Map([['strange.weight', NdArray.zeros([1])]])).unknown).toEqual(['strange.weight'])
  },
)
