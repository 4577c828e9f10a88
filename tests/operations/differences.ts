import { input, jvp, vjp } from '../../src/core/index.ts'
import { compile, Generator, type NdArray, type Program } from '../../src/runtime/index.ts'
import type { Draw } from './cases.ts'

/** A step of the central difference, with directions whose largest element is 1. */
const STEP = 0.01
const DIRECTIONS = 3

/** Errors of a function's derivatives, each relative to the size of what it is compared with. */
export interface DerivativeErrors {
  /** J d against finite differences of the result, over all its elements. */
  readonly forward: number
  /** ⟨c, J d⟩ against ⟨Jᵀ c, d⟩. */
  readonly transposed: number
  /** Derivative of Jᵀ c along d against its finite differences, over all elements of all inputs. */
  readonly second: number
}

/**
 * Compares a function's derivatives with central differences of fourth order in random directions, and the
 * vector–Jacobian product with the Jacobian–vector product as its transpose. Float inputs are moved together; what
 * counts is the worst direction.
 */
export async function derivativeErrors(draw: Draw, inputs: readonly NdArray[]): Promise<DerivativeErrors> {
  const xs = inputs.map((x, i) => input(`x${i}`, x.shape, x.dtype))
  const wrt = xs.filter(({ dtype }) => dtype === 'f32')
  const ds = wrt.map((x) => input(`along ${x.name}`, x.shape))
  const y = draw(...xs)
  const cotangent = input('cotangent', y.shape)
  const gradients = vjp([y], wrt, [cotangent])
  const seconds = vjp(gradients, wrt, ds)
  const named = (name: string, list: typeof wrt) => Object.fromEntries(list.map((x, i) => [`${name}${i}`, x]))
  const tangent = jvp([y], wrt, ds)[0]!
  const outputs = { y, tangent, ...named('gradient', gradients), ...named('second', seconds) }
  const program = await compile({ outputs }, { threads: 1 })
  const generator = new Generator(1)
  const point = Object.fromEntries(inputs.map((x, i) => [`x${i}`, x]))
  const worst = { forward: 0, transposed: 0, second: 0 }
  for (let n = 0; n < DIRECTIONS; n++) {
    const along = new Map(wrt.map((x) => [x.name!, direction(generator, x.shape)]))
    const found = await errorsAlong(program, point, along, direction(generator, y.shape))
    for (const key of Object.keys(worst) as (keyof DerivativeErrors)[]) worst[key] = Math.max(worst[key], found[key])
  }
  await program.release()
  return worst
}

function direction(generator: Generator, shape: readonly number[]): NdArray {
  const values = generator.randn(shape)
  return values.div(values.abs().max())
}

async function errorsAlong(
  program: Program,
  point: Readonly<Record<string, NdArray>>,
  along: ReadonlyMap<string, NdArray>,
  cotangent: NdArray,
): Promise<DerivativeErrors> {
  const at = (step: number) => {
    const feeds: Record<string, NdArray> = { ...point, cotangent }
    for (const [name, d] of along) {
      feeds[name] = point[name]!.add(d.mul(step))
      feeds[`along ${name}`] = d
    }
    return program.run(Object.fromEntries(program.inputNames.map((name) => [name, feeds[name]!])))
  }
  const here = await at(0)
  const [a, b, c, d] = [await at(-2 * STEP), await at(-STEP), await at(STEP), await at(2 * STEP)]
  const slope = (name: string) => {
    const sum = a[name]!.sub(d[name]!).add(c[name]!.sub(b[name]!).mul(8))
    return sum.div(12 * STEP)
  }
  const names = (name: string) => [...along.keys()].map((_, i) => `${name}${i}`)
  const gradients = names('gradient').map((name) => here[name]!)
  const seconds = names('second').map((name) => here[name]!)
  const tangent = here.tangent!
  const pulled = [...along.values()].reduce((sum, x, i) => sum + x.dot(gradients[i]!), 0)
  return {
    forward: error([tangent], [slope('y')], [here.y!]),
    second: error(seconds, names('gradient').map(slope), gradients),
    transposed: Math.abs(cotangent.dot(tangent) - pulled) / Math.max(1e-6, norm(cotangent) * norm(tangent)),
  }
}

const norm = (x: NdArray) => Math.sqrt(x.dot(x))

const largest = (arrays: readonly NdArray[]) => Math.max(0, ...arrays.map((x) => x.abs().max().item()))

/**
 * The largest difference relative to the largest derivative. What float32 cannot resolve in differences of f, about
 * 10⁻² of f itself, counts as the smallest derivative.
 */
function error(derivatives: readonly NdArray[], differences: readonly NdArray[], f: readonly NdArray[]): number {
  const worst = largest(derivatives.map((x, i) => x.sub(differences[i]!)))
  return worst / Math.max(largest(derivatives), largest(differences), 0.01 * largest(f), 1e-6)
}
