import { ArgumentError } from '../core/errors.ts'
import { type Shape, showShape, sizeOf } from '../core/shape.ts'
import { constant, parameter, type Tensor } from '../core/tensor.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'

/** A parameter's initial value, where no checkpoint has one. */
export type Init = (shape: Shape, generator: Generator) => NdArray

interface Declared {
  readonly tensor: Tensor
  readonly init: Init
  /** A constant, which does not learn. */
  readonly fixed?: boolean
}

/**
 * A scope of parameters, named by its path: `p.at('blocks', 0, 'conv1').get('weight', shape, init)` declares
 * `blocks.0.conv1.weight`, the checkpoint's key. A network declares its parameters while it is traced; the same
 * declarations then load a checkpoint or initialise.
 */
export class Params {
  /** Before the names of its parameters; empty for the outermost scope. */
  readonly path: string
  private readonly declared: Map<string, Declared>

  constructor(path = '', declared: Map<string, Declared> = new Map()) {
    this.path = path
    this.declared = declared
  }

  /** Parameters with some of them frozen: those are constants of the values given, and `tensors` leaves them out. */
  static frozen(values: ReadonlyMap<string, NdArray>): Params {
    const fixed = ({ data, shape, dtype }: NdArray): Declared => ({
      tensor: constant(data, shape, dtype),
      init: zerosInit,
      fixed: true,
    })
    return new Params('', new Map([...values].map(([key, value]) => [key, fixed(value)])))
  }

  /** A scope inside this one. */
  at(...names: (string | number)[]): Params {
    return new Params([this.path, ...names].filter((name) => name !== '').join('.'), this.declared)
  }

  /** The parameter of this name in this scope. A second call with the same shape returns the same tensor: shared weights. */
  get(name: string, shape: Shape, init: Init): Tensor {
    const key = this.path ? `${this.path}.${name}` : name
    const known = this.declared.get(key)
    if (!known) {
      const tensor = parameter(key, shape)
      this.declared.set(key, { tensor, init })
      return tensor
    }
    if (sizeOf(known.tensor.shape) !== sizeOf(shape) || known.tensor.shape.some((n, i) => n !== shape[i])) {
      throw new ArgumentError(`parameter ${key} is declared as ${showShape(known.tensor.shape)} and as ${showShape(shape)}`)
    }
    return known.tensor
  }

  /** Every parameter declared so far, by key, in the order of declaration. */
  get tensors(): Map<string, Tensor> {
    return new Map(this.learning.map(([key, { tensor }]) => [key, tensor]))
  }

  /** Total number of elements. */
  get count(): number {
    return this.learning.reduce((n, [, { tensor }]) => n + tensor.size, 0)
  }

  private get learning(): [string, Declared][] {
    return [...this.declared].filter(([, { fixed }]) => !fixed)
  }

  /** Fresh values for every parameter, in the order of declaration: the same seed, the same network. */
  initialise(generator: Generator): Map<string, NdArray> {
    return new Map(this.learning.map(([key, { tensor, init }]) => [key, init(tensor.shape, generator)]))
  }
}

/** One value everywhere. */
export const fill =
  (value: number): Init =>
  (shape) => {
    const array = NdArray.zeros(shape, 'f32')
    array.data.fill(value)
    return array
  }
export const zerosInit = fill(0)
export const onesInit = fill(1)

/** U(−bound, bound). */
export const uniform =
  (bound: number): Init =>
  (shape, generator) => {
    const array = generator.rand(shape)
    for (let i = 0; i < array.size; i++) array.data[i] = ((array.data[i] as number) * 2 - 1) * bound
    return array
  }

/** N(0, std²). */
export const normal =
  (std: number): Init =>
  (shape, generator) => {
    const array = generator.randn(shape)
    for (let i = 0; i < array.size; i++) array.data[i] = (array.data[i] as number) * std
    return array
  }

/** PyTorch's default for the weights and biases of linear and convolution layers: U(−1/√fanIn, 1/√fanIn). */
export const fanIn = (n: number): Init => uniform(1 / Math.sqrt(n))
