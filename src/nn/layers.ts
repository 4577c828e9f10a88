import * as core from '../core/index.ts'
import type { Tensor } from '../core/tensor.ts'
import { fanIn, type Init, normal, onesInit, type Params, zerosInit } from './params.ts'

export type Layer = (x: Tensor) => Tensor

export interface LinearOptions {
  readonly bias?: boolean
  /** How weight and bias start; as PyTorch's layers unless given. */
  readonly init?: Init
  /** How the bias starts, where other than the weight. */
  readonly biasInit?: Init
}

/** x [.., inputs] → [.., outputs]. */
export function linear(p: Params, inputs: number, outputs: number, options: LinearOptions = {}): Layer {
  const { bias = true, init = fanIn(inputs), biasInit = init } = options
  const weight = p.get('weight', [outputs, inputs], init)
  const b = bias ? p.get('bias', [outputs], biasInit) : undefined
  return (x) => core.linear(x, weight, b)
}

/** A linear layer as layers that give its outputs in equal parts: two results of half the width, not one to cut. */
export function linearParts(p: Params, inputs: number, outputs: number, parts: number, options: LinearOptions = {}): Layer[] {
  const { bias = true, init = fanIn(inputs), biasInit = init } = options
  const weights = p.get('weight', [outputs, inputs], init).split(parts, 0)
  const biases = bias ? p.get('bias', [outputs], biasInit).split(parts, 0) : []
  return weights.map((weight, i) => (x) => core.linear(x, weight, biases[i]))
}

export interface ConvOptions extends core.WindowOptions {
  readonly bias?: boolean
  /** Spatial axes: 2 unless given. */
  readonly axes?: 1 | 2 | 3
  /** How weight and bias start. */
  readonly init?: Init
}

/** x [B, inputs, …] → [B, outputs, …], a square kernel. */
export function conv(p: Params, inputs: number, outputs: number, kernel: number, options: ConvOptions = {}): Layer {
  const { bias = true, axes = 2, groups = 1 } = options
  const window = Array<number>(axes).fill(kernel)
  const init = options.init ?? fanIn((inputs / groups) * kernel ** axes)
  const weight = p.get('weight', [outputs, inputs / groups, ...window], init)
  const b = bias ? p.get('bias', [outputs], init) : undefined
  return (x) => core.conv(x, weight, { ...options, bias: b })
}

/** Group norm over [B, channels, …] with a weight and a bias. */
export function groupNorm(p: Params, groups: number, channels: number, eps = 1e-5): Layer {
  const weight = p.get('weight', [channels], onesInit)
  const bias = p.get('bias', [channels], zerosInit)
  return (x) => core.groupNorm(x, groups, weight, bias, eps)
}

/** Layer norm over the last axis, with a weight and a bias. */
export function layerNorm(p: Params, width: number, eps = 1e-5): Layer {
  const weight = p.get('weight', [width], onesInit)
  const bias = p.get('bias', [width], zerosInit)
  return (x) => core.layerNorm(x, weight, bias, eps)
}

/** Layer norm over the last axis without parameters, as modulated blocks have it. */
export const plainLayerNorm =
  (eps = 1e-6): Layer =>
  (x) =>
    core.layerNorm(x, undefined, undefined, eps)

/** RMS norm over the last axis, with a weight. */
export function rmsNorm(p: Params, width: number, eps = 1e-5): Layer {
  const weight = p.get('weight', [width], onesInit)
  return (x) => core.rmsNorm(x, weight, eps)
}

/** Token numbers [...] → vectors [..., width]. */
export function embedding(p: Params, count: number, width: number, { init = normal(1) }: { init?: Init } = {}): Layer {
  const weight = p.get('weight', [count, width], init)
  return (index) => core.embedding(weight, index)
}

/** Layers one after another. */
export const sequence =
  (...layers: Layer[]): Layer =>
  (x) =>
    layers.reduce((y, layer) => layer(y), x)
