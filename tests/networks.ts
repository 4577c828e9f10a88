import { createHash } from 'node:crypto'
import type { Params } from '../src/nn/params.ts'
import type { NdArray } from '../src/runtime/ndarray.ts'
import { Generator } from '../src/runtime/random.ts'
import { maxDifference } from './fixture.ts'

/** What parity/networks.py says of a network of diffusers. */
export interface Described {
  readonly config: unknown
  readonly keys: number
  readonly parameters: number
  readonly sha256: string
}

/** Count, elements and a hash of the keys with their shapes, as parity/networks.py takes them. */
export function keysOf(p: Params): Omit<Described, 'config'> {
  const lines = [...p.tensors].map(([key, { shape }]) => `${key} [${shape.join(', ')}]\n`).sort()
  return { keys: lines.length, parameters: p.count, sha256: createHash('sha256').update(lines.join('')).digest('hex') }
}

/** The weights of parity/networks.py, drawn again. */
export function weightsOf(p: Params, seed: number): Map<string, NdArray> {
  const generator = new Generator(seed)
  const keys = [...p.tensors.keys()].sort()
  return new Map(
    keys.map((key) => {
      const shape = p.tensors.get(key)?.shape as number[]
      const normal = generator.randn(shape)
      if (key === 'time_proj.weight' && shape.length === 1) return [key, normal]
      if (shape.length <= 1) return [key, normal.mul(0.25).add(key.endsWith('weight') ? 1 : 0)]
      const fan = shape.slice(1).reduce((a, b) => a * b)
      return [key, normal.mul((/\.(to_[qk]|[qk]_proj)\./.test(key) ? 2 : 1) / Math.sqrt(fan))]
    }),
  )
}

/** max |a − b| as a share of the largest expected value. */
export const relativeDifference = (found: NdArray | undefined, expected: NdArray): number =>
  maxDifference(found as NdArray, expected) / expected.cast('f32').abs().max().item()
