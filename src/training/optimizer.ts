import { type Shape, sizeOf } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import { constant, full, scalar } from '../core/tensor.ts'

/** Numbers of one step, fed to the training program: `lr` and what the optimizer adds. */
export type Scalars = Readonly<Record<string, number>>

/** How a parameter is updated, as symbolic arithmetic. Its state is one tensor a name, of the parameter's shape, zero at first. */
export interface Rule<Name extends string = string> {
  readonly state: readonly Name[]
  update(
    p: Tensor,
    g: Tensor,
    state: Readonly<Record<Name, Tensor>>,
    scalars: Readonly<Record<string, Tensor>>,
  ): { p: Tensor } & Record<Name, Tensor>
}

/** Rules of one training run. Its own works element by element: on the CPU with the operations that `lowerLoop` knows. */
export interface Optimizer<Name extends string = string> extends Rule<Name> {
  /** Names of the scalars that `scalars` gives. */
  readonly scalarNames: readonly string[]
  /** The scalars of step 1, 2, …, for a learning rate. */
  scalars(step: number, lr: number): Scalars
  /** Another rule, for parameters that are updated as matrices. */
  readonly matrixRule?: Rule & { appliesTo(key: string, shape: Shape): boolean }
}

/** The rule that updates a parameter. */
export const ruleOf = (optimizer: Optimizer, key: string, shape: Shape): Rule =>
  optimizer.matrixRule?.appliesTo(key, shape) ? optimizer.matrixRule : optimizer

export interface AdamWOptions {
  readonly beta1?: number
  readonly beta2?: number
  readonly eps?: number
  readonly weightDecay?: number
}

/** PyTorch's. */
export const adamDefaults = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 } as const satisfies Required<AdamWOptions>

/** AdamW (Loshchilov and Hutter 2019, Algorithm 2), in PyTorch's order of operations. Weight decay 0 makes it Adam. */
export function adamw(options: AdamWOptions = {}): Optimizer<'m' | 'v'> {
  const { beta1, beta2, eps, weightDecay } = { ...adamDefaults, ...options }
  return {
    state: ['m', 'v'],
    scalarNames: ['keep', 'stepSize', 'correction'],
    scalars: (step, lr) => ({
      keep: 1 - lr * weightDecay,
      stepSize: lr / (1 - beta1 ** step),
      correction: Math.sqrt(1 - beta2 ** step),
    }),
    update(p, g, state, { keep, stepSize, correction }) {
      const m = state.m.add(g.sub(state.m).mul(1 - beta1))
      const v = state.v.mul(beta2).add(g.square().mul(1 - beta2))
      const denominator = v
        .sqrt()
        .div(correction as Tensor)
        .add(eps)
      return { p: p.mul(keep as Tensor).sub(m.mul(stepSize as Tensor).div(denominator)), m, v }
    },
  }
}

export interface MuonOptions extends AdamWOptions {
  readonly momentum?: number
  /** Which parameters are updated as matrices, by key and shape, in place of `isMatrix`. */
  readonly matrices?: (key: string, shape: Shape) => boolean
}

/** Matrices of fewer rows or columns are left to AdamW: first and last layers of narrow pictures, mostly. */
const LEAST_SIDE = 16

/** Tables that are looked up, embeddings of times and patches, and the heads that give the output, as published transformers name them. */
const NO_MATRIX =
  /embed|_emb\.|(^|\.)shared\.weight$|relative_attention_bias|scale_shift_table|^(proj_out|proj_out_[12]|final_layer|lm_head|to_logits|head)\.|(^|\.)output_layer\.linear\./

/** Whether Muon updates a parameter as a matrix: weights of hidden layers, of 16 rows and columns or more. */
export const isMatrix = (key: string, shape: Shape): boolean =>
  shape.length > 1 && !NO_MATRIX.test(key) && matrixShape(shape).every((side) => side >= LEAST_SIDE)

/**
 * Muon (Jordan et al. 2024): the momentum of a weight, as a matrix of its outputs by all its inputs, moves it in all its directions
 * alike. Steps are as long as AdamW's (Liu et al. 2025, Muon is scalable for LLM training, equation 4), so that rate and weight
 * decay carry over. AdamW updates the rest: what `isMatrix` leaves out.
 */
export function muon({ momentum = 0.95, matrices = isMatrix, ...adam }: MuonOptions = {}): Optimizer<'m' | 'v'> {
  const other = adamw(adam)
  return {
    ...other,
    scalarNames: [...other.scalarNames, 'rate'],
    scalars: (step, lr) => ({ ...other.scalars(step, lr), rate: lr }),
    matrixRule: {
      appliesTo: matrices,
      state: ['m'],
      update(p, g, state, { keep, rate }) {
        const before = state.m as Tensor
        const m = before.add(g.sub(before).mul(1 - momentum))
        const matrix = g.add(m.sub(g).mul(momentum)).reshape(matrixShape(p.shape))
        const length = 0.2 * Math.sqrt(Math.max(...matrix.shape))
        const direction = orthogonalised(matrix).reshape(p.shape)
        return { p: p.mul(keep as Tensor).sub(direction.mul((rate as Tensor).mul(length))), m }
      },
    },
  }
}

/** Outputs by inputs, as layers keep their weights. */
const matrixShape = ([outputs = 1, ...inputs]: Shape): [number, number] => [outputs, sizeOf(inputs)]

/** The quintic of Jordan et al. 2024: it brings singular values from 0 … 1 near to 1, not to it, and fast. */
const [LINEAR, CUBIC, QUINTIC] = [3.4445, -4.775, 2.0315] as const
const ITERATIONS = 5

/**
 * A matrix with the same singular vectors, and with singular values of 0.7 … 1.2: five steps of Newton and Schulz. All steps are
 * polynomials in the square of the matrix, so that they are taken on that, which is smaller.
 */
function orthogonalised(matrix: Tensor): Tensor {
  const [rows, columns] = matrix.shape as [number, number]
  const transA = rows > columns
  const norm = matrix.square().sum().sqrt().maximum(1e-7)
  const x = matrix.div(norm)
  const unit = identity(Math.min(rows, columns))
  let square = x.matmul(x, { transA, transB: !transA })
  let product: Tensor | undefined
  for (let i = 0; i < ITERATIONS; i++) {
    const step = unit.mul(LINEAR).add(square.mul(CUBIC)).add(square.matmul(square).mul(QUINTIC))
    product = product ? step.matmul(product) : step
    if (i < ITERATIONS - 1) square = step.matmul(square).matmul(step)
  }
  return transA ? x.matmul(product as Tensor) : (product as Tensor).matmul(x)
}

const identity = (n: number): Tensor =>
  constant(
    Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0)),
    [n, n],
  )

/** Optimizers by their names. */
export const optimizerNames = ['adamw', 'muon'] as const
export type OptimizerName = (typeof optimizerNames)[number]
export const optimizers: Readonly<Record<OptimizerName, (options: AdamWOptions) => Optimizer>> = { adamw, muon }

/** √Σ‖g‖² over all gradients. */
export function globalNorm(gradients: readonly Tensor[]): Tensor {
  return gradients
    .map((g) => g.square().sum())
    .reduce((a, b) => a.add(b), scalar(0))
    .sqrt()
}

/** The factor that brings gradients of this norm down to `maxNorm` (Pascanu et al. 2013); 1 where they are below. */
export const clipFactor = (norm: Tensor, maxNorm: number): Tensor =>
  full([], maxNorm)
    .div(norm.add(1e-6))
    .minimum(constant([1], []))
