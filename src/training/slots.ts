import { input, type Tensor } from '../core/tensor.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Program } from '../runtime/program.ts'
import { clipFactor, type Optimizer, type Rule, type Scalars } from './optimizer.ts'

/** A value kept beside a parameter: the optimizer's memory of it, or its moving average. */
export const slotName = (key: string, slot: string) => `${key}@${slot}`
export const EMA = 'ema'

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

export interface MoveOptions {
  readonly maxGradNorm?: number
  readonly ema?: boolean
}

/**
 * One parameter (or, where the rule allows, a part of it) moved by its gradient, as symbolic arithmetic: the new parameter under
 * '', each slot under its name. `norm` is the length of all gradients together.
 */
export function moved(
  p: Tensor,
  gradient: Tensor,
  slot: (name: string) => Tensor,
  norm: Tensor,
  scalars: Readonly<Record<string, Tensor>>,
  rule: Rule,
  { maxGradNorm, ema }: MoveOptions,
): Map<string, Tensor> {
  const g = maxGradNorm === undefined ? gradient : gradient.mul(clipFactor(norm, maxGradNorm))
  const slots = Object.fromEntries(rule.slots.map((name) => [name, slot(name)]))
  const next = rule.update(p, g, slots, scalars)
  const out = new Map([['', next.p], ...rule.slots.map((name) => [name, next[name] as Tensor] as const)])
  if (ema)
    out.set(
      EMA,
      next.p.add(
        slot(EMA)
          .sub(next.p)
          .mul(scalars[EMA] as Tensor),
      ),
    )
  return out
}
