import { createHash } from 'node:crypto'
import { vjp } from '../src/core/grad.ts'
import { sizeOf } from '../src/core/shape.ts'
import { input, type Tensor } from '../src/core/tensor.ts'
import type { Params } from '../src/nn/params.ts'
import type { NdArray } from '../src/runtime/ndarray.ts'
import { compile } from '../src/runtime/program.ts'
import { Generator } from '../src/runtime/random.ts'
import { type Fixture, maxDifference, tensorOf } from './fixture.ts'

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
      const fan = sizeOf(shape.slice(1))
      return [key, normal.mul((/\.(to_[qk]|[qk]_proj)\./.test(key) ? 2 : 1) / Math.sqrt(fan))]
    }),
  )
}

/** What the fixture gives a case's network: everything under its name that is no result. */
export function givenTo({ tensors }: Fixture, name: string, results: RegExp): Map<string, NdArray> {
  const own = [...tensors]
    .filter(([key]) => key.startsWith(`${name}.`))
    .map(([key, value]) => [key.slice(name.length + 1), value])
  return new Map((own as [string, NdArray][]).filter(([key]) => !/^(cotangent|grad) /.test(key) && !results.test(key)))
}

interface Case {
  readonly p: Params
  /** The network's inputs, by their names in the fixture. */
  readonly symbols: ReadonlyMap<string, Tensor>
  /** Its outputs, by theirs. */
  readonly outputs: Readonly<Record<string, Tensor>>
}

/**
 * Outputs, and the gradients that the fixture has, of those of its outputs that have a cotangent there. Every difference above
 * 10⁻⁴ of the largest expected value.
 */
export async function disagreements(
  diffusers: Fixture,
  name: string,
  { p, symbols, outputs }: Case,
): Promise<[string, number][]> {
  const expected = (key: string) => tensorOf(diffusers, `${name}.${key}`)
  const pulled = Object.keys(outputs).filter((key) => diffusers.tensors.has(`${name}.cotangent ${key}`))
  const cotangents = pulled.map((key) => input(`cotangent ${key}`, expected(key).shape))
  const start = `${name}.grad `
  const compared = [...diffusers.tensors.keys()].filter((key) => key.startsWith(start)).map((key) => key.slice(start.length))
  const wrt = compared.map((key) => symbols.get(key) ?? (p.tensors.get(key) as Tensor))
  const gradients =
    compared.length === 0
      ? []
      : vjp(
          pulled.map((key) => outputs[key] as Tensor),
          wrt,
          cotangents,
        )
  const all = { ...outputs, ...Object.fromEntries(compared.map((key, i) => [`grad ${key}`, gradients[i] as Tensor])) }
  const weights = weightsOf(p, Number(diffusers.metadata.seed))
  // Two threads wait for each other longer than such small networks take.
  const program = await compile({ outputs: all, weights }, { threads: 1 })
  const values = [...symbols].map(([key, { dtype }]) => [key, expected(key).cast(dtype)] as const)
  const given = [...values, ...cotangents.map(({ name: key }) => [key as string, expected(key as string)] as const)]
  const found = await program.run(Object.fromEntries(given.filter(([key]) => program.inputNames.includes(key))))
  await program.release()
  const largest = (key: string) => expected(key).abs().max().item()
  const steepest = Math.max(0, ...compared.map((key) => largest(`grad ${key}`)))
  const errors = Object.keys(all).map((key): [string, number] => {
    // A constant added to every key leaves the softmax alone: this gradient is zero but for rounding, in both.
    const scale = /^grad .*\bto_k\.bias$/.test(key) ? Math.max(0.01 * steepest, largest(key)) : largest(key)
    return [key, maxDifference(found[key] as NdArray, expected(key)) / scale]
  })
  return errors.filter(([, error]) => !(error <= 1e-4))
}

/** max |a − b| as a share of the largest expected value. */
export const relativeDifference = (found: NdArray | undefined, expected: NdArray): number =>
  maxDifference(found as NdArray, expected) / expected.cast('f32').abs().max().item()
