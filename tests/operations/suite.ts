import { fromHalfBits, isFloat } from '../../src/core/dtype.ts'
import { constant, input, type Tensor, vjp } from '../../src/core/index.ts'
import type { NdArray } from '../../src/runtime/ndarray.ts'
import { fixture } from '../fixture.ts'
import { type Draw, groups } from './cases.ts'

/** One case with what PyTorch made of its inputs. */
export interface Case {
  /** `group/kind` */
  readonly name: string
  readonly group: string
  readonly draw: Draw
  readonly inputs: readonly NdArray[]
  readonly result: NdArray
  /** Given where the result and an input are floats: the gradients are those of Σ result · cotangent. */
  readonly cotangent: NdArray | undefined
  /** For each input; none for one that is not a float. */
  readonly gradients: readonly (NdArray | undefined)[]
}

const torch = fixture('operations')
export const namesInFixture: readonly string[] = JSON.parse(torch.metadata.cases as string)

/** All cases, in the order of the table. */
export const allCases: readonly Case[] = Object.entries(groups).flatMap(([group, kinds]) =>
  Object.entries(kinds).map(([kind, draw]) => {
    const name = `${group}/${kind}`
    const found = (what: string) => torch.tensors.get(`${name}/${what}`)
    const inputs: NdArray[] = []
    for (let x = found('input0'); x; x = found(`input${inputs.length}`)) inputs.push(x)
    const result = found('result')
    if (!result) throw new Error(`parity/operations.py has no case "${name}"`)
    const gradients = inputs.map((_, i) => found(`gradient${i}`))
    return { name, group, draw, inputs, result, cotangent: found('cotangent'), gradients }
  }),
)

/** A case drawn on inputs of its own. */
export function drawCase({ name, draw, inputs }: Case): { xs: Tensor[]; y: Tensor; feeds: Record<string, NdArray> } {
  const xs = inputs.map((x, i) => input(`${name}:${i}`, x.shape, x.dtype))
  return { xs, y: draw(...xs), feeds: Object.fromEntries(inputs.map((x, i) => [`${name}:${i}`, x])) }
}

/** Which inputs of a case have gradients. */
const floatInputs = ({ inputs }: Case): number[] => [...inputs.keys()].filter((i) => isFloat(inputs[i]!.dtype))

/** Result and gradients of a case as named outputs. */
export function outputsOf(c: Case, xs: readonly Tensor[], y: Tensor): Record<string, Tensor> {
  const outputs = { [`${c.name}=`]: y }
  if (!c.cotangent) return outputs
  const { data, shape, dtype } = c.cotangent
  const which = floatInputs(c)
  const wrt = which.map((i) => xs[i]!)
  const gradients = vjp([y], wrt, [constant(data, shape, dtype)])
  for (const [k, i] of which.entries()) outputs[`${c.name}=${i}`] = gradients[k]!
  return outputs
}

/** Elements as numbers. */
export function numbers({ data, dtype }: NdArray): number[] {
  return dtype === 'f16' ? Array.from(data as Uint16Array, fromHalfBits) : Array.from(data as Float32Array, Number)
}

/**
 * max |a − b| / max(10⁻⁶, max |b|) over whole arrays; equal infinities and two NaNs differ by 0, and anything but f32
 * must be equal, else the error is Infinity.
 */
export function relativeError(a: NdArray, b: NdArray): number {
  if (a.shape.join() !== b.shape.join() || a.dtype !== b.dtype) {
    throw new Error(`expected ${b.dtype}[${b.shape}], got ${a.dtype}[${a.shape}]`)
  }
  const [x, y] = [numbers(a), numbers(b)]
  let [worst, scale] = [0, 1e-6]
  for (const [i, value] of x.entries()) {
    const expected = y[i]!
    if (Number.isFinite(expected)) scale = Math.max(scale, Math.abs(expected))
    if (Object.is(value, expected) || value === expected) continue
    const difference = Math.abs(value - expected)
    worst = Math.max(worst, Number.isNaN(difference) ? Infinity : difference)
  }
  return a.dtype === 'f32' ? worst / scale : worst === 0 ? 0 : Infinity
}
