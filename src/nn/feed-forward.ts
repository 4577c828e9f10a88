import { concat } from '../core/functions.ts'
import { dims } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import { type Activation, activations } from './activation.ts'
import { type Layer, linear, linearParts } from './layers.ts'
import type { Params } from './params.ts'

/** What one part of a layer calculates at a time should stay in the processor's cache, and still fill its matrix products. */
const VALUES_AT_ONCE = 2 ** 20
const LEAST_ROWS = 512

/** Into how many equal parts to cut [B, N, …] along N, where each of the B·N rows takes `width` values. */
function partsOf({ B, N }: { readonly B: number; readonly N: number }, width: number): number {
  const most = Math.min((B * N) / LEAST_ROWS, (B * N * width) / VALUES_AT_ONCE)
  let parts = 1
  while (2 * parts <= most && N % (2 * parts) === 0) parts *= 2
  return parts
}

/** Applies a layer to some tokens of [B, N, D] at a time, where each token takes `width` values in between. */
const someAtATime =
  (layer: Layer, width: number): Layer =>
  (x) => {
    const parts = partsOf(dims(x, 'B N D'), width)
    return parts === 1 ? layer(x) : concat(x.split(parts, 1).map(layer), 1)
  }

export interface FeedForwardOptions {
  /** Width between the two layers; 4 · width unless given. */
  readonly inner?: number
  readonly activation?: Activation
  /** Half of a projection times the activation of the other (Shazeer 2020): GEGLU with `gelu`, SwiGLU with `silu`. */
  readonly gated?: boolean
  readonly bias?: boolean
}

/** Feed-forward layers by the names that diffusers' configs have for them (`activation_fn`). */
export const feedForwards = {
  gelu: { activation: 'gelu' },
  'gelu-approximate': { activation: 'gelu_tanh' },
  geglu: { activation: 'gelu', gated: true },
  swiglu: { activation: 'silu', gated: true },
  'linear-silu': { activation: 'silu' },
} as const satisfies Record<string, FeedForwardOptions>
export type FeedForwardName = keyof typeof feedForwards
export const feedForwardNames = Object.keys(feedForwards) as FeedForwardName[]

/**
 * Feed-forward layer of a transformer under diffusers' keys `net.0.proj` and `net.2`: x [B, N, D] → [B, N, D].
 * diffusers' `gelu-approximate` is `{ activation: 'gelu_tanh' }`, `geglu` is `{ gated: true }`, `swiglu`
 * `{ activation: 'silu', gated: true }`.
 */
export function feedForward(p: Params, width: number, options: FeedForwardOptions = {}): Layer {
  const { inner = 4 * width, activation = 'gelu', gated = false, bias = true } = options
  const act = activations[activation]
  const into = p.at('net', 0, 'proj')
  const out = linear(p.at('net', 2), inner, width, { bias })
  if (!gated) {
    const project = linear(into, width, inner, { bias })
    return someAtATime((x) => out(act(project(x))), inner)
  }
  const [value, gate] = linearParts(into, width, 2 * inner, 2, { bias }) as [Layer, Layer]
  return someAtATime((x) => out(value(x).mul(act(gate(x)))), inner)
}

/** Feed-forward layer with a gated unit by the exact GELU. [B, N, D] → [B, N, D]. */
export const gegluFeedForward = (p: Params, width: number, inner = 4 * width): Layer =>
  feedForward(p, width, { inner, gated: true })

export interface GatedFeedForwardOptions {
  readonly activation: Activation
  /** Keys of the layers; T5 names them `wi_1`, `wi_0` and `wo`, others `w3`, `w1` and `w2`. */
  readonly keys: { readonly value: string; readonly gate: string; readonly out: string }
  readonly bias?: boolean
}

/** A gated unit whose two projections are layers of their own: out(value(x) · activation(gate(x))). [B, N, D] → [B, N, D]. */
export function gatedFeedForward(p: Params, width: number, inner: number, options: GatedFeedForwardOptions): Layer {
  const { activation, keys, bias = false } = options
  const [value, gate] = [keys.value, keys.gate].map((key) => linear(p.at(key), width, inner, { bias })) as [Layer, Layer]
  const out = linear(p.at(keys.out), inner, width, { bias })
  return someAtATime((x: Tensor) => out(value(x).mul(activations[activation](gate(x)))), inner)
}
