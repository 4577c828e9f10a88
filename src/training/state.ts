import type { Shape } from '../core/shape.ts'
import { input, type Tensor } from '../core/tensor.ts'
import type { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Program } from '../runtime/program.ts'
import { clipFactor, type Optimizer, type Rule, ruleOf, type Scalars } from './optimizer.ts'

/** A value kept with a parameter: a part of the optimizer's state, or the parameter's moving average. The parameter itself is the part ''. */
export const stateName = (key: string, part: string) => (part ? `${key}@${part}` : key)
export const EMA = 'ema'

/** Names and shapes of all that a run keeps: parameters, optimizer state, averages. */
export function stateShapes({ tensors }: Params, optimizer: Optimizer, ema: boolean): Map<string, Shape> {
  const parts = (key: string, shape: Shape) => ['', ...ruleOf(optimizer, key, shape).state, ...(ema ? [EMA] : [])]
  return new Map([...tensors].flatMap(([key, { shape }]) => parts(key, shape).map((part) => [stateName(key, part), shape])))
}

/** The numbers of a step as inputs of a program: the optimizer's, and the average's decay. */
export const scalarInputs = (optimizer: Optimizer): Record<string, Tensor> =>
  Object.fromEntries([...optimizer.scalarNames, EMA].map((name) => [name, input(`scalar:${name}`, [])]))

/** Numbers as a program takes them: of all those that it reads. */
export function feedsOf(program: Program, scalars: Scalars): Record<string, NdArray> {
  const read = program.inputNames.filter((name) => name in scalars)
  return Object.fromEntries(read.map((name) => [name, new NdArray(Float32Array.of(scalars[name] as number), [], 'f32')]))
}

/** Names of the outputs that are reported after each batch. */
export const reported = (loss: Tensor, metrics: Readonly<Record<string, Tensor>> = {}): Record<string, Tensor> => ({
  loss,
  ...Object.fromEntries(Object.entries(metrics).map(([name, x]) => [`metric:${name}`, x])),
})

/** Batches of one step, whose gradients are averaged. */
export const batchesOf = ({ accumulation = 1, processes = 1 }: { accumulation?: number; processes?: number }): number =>
  accumulation * processes

export interface UpdateOptions {
  readonly maxGradNorm?: number
  readonly ema?: boolean
}

/**
 * One parameter (or, where the rule allows, a part of it) after an optimizer step, as symbolic arithmetic: the new parameter under '', each
 * part of the state under its name. `norm` is the length of all gradients together.
 */
export function updated(
  p: Tensor,
  gradient: Tensor,
  part: (name: string) => Tensor,
  norm: Tensor,
  scalars: Readonly<Record<string, Tensor>>,
  rule: Rule,
  { maxGradNorm, ema }: UpdateOptions,
): Map<string, Tensor> {
  const g = maxGradNorm === undefined ? gradient : gradient.mul(clipFactor(norm, maxGradNorm))
  const state = Object.fromEntries(rule.state.map((name) => [name, part(name)]))
  const next = rule.update(p, g, state, scalars)
  const out = new Map([['', next.p], ...rule.state.map((name) => [name, next[name] as Tensor] as const)])
  if (ema) {
    const average = part(EMA)
    out.set(EMA, next.p.add(average.sub(next.p).mul(scalars[EMA] as Tensor)))
  }
  return out
}
