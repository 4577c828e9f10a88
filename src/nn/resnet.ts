import { ArgumentError } from '../core/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { type Activation, activations } from './activation.ts'
import { type Dropout, keepAll } from './dropout.ts'
import { conv, groupNorm, type Layer, linear } from './layers.ts'
import type { Params } from './params.ts'

export interface ResnetOptions {
  readonly groups: number
  /** Groups of the second norm. */
  readonly groupsOut?: number
  readonly eps?: number
  readonly activation?: Activation
  /** Width of the time embedding; 0 for a block without. */
  readonly timeWidth: number
  /** How the time acts: added before the second norm, or as a scale and a shift after it (Dhariwal and Nichol 2021). */
  readonly timeForm?: 'default' | 'scale_shift'
  /** The sum with the residual is divided by this. */
  readonly outputScale?: number
  /** Changes the resolution of both paths, without parameters. */
  readonly resample?: Layer
  /** A 1×1 convolution on the residual; by default where the channels change. */
  readonly convShortcut?: boolean
  readonly dropout?: { readonly rate: number; readonly apply: Dropout }
}

/** A layer that also takes the time: x [B, C, H, W], time [B, timeWidth] after its activation; only where timeWidth is not 0. */
export type TimedLayer = (x: Tensor, time?: Tensor) => Tensor

/** Residual block (Ho et al. 2020, appendix B): norm, activation, convolution, twice. x [B, inputs, H, W] → [B, outputs, …]. */
export function resnetBlock(p: Params, inputs: number, outputs: number, options: ResnetOptions): TimedLayer {
  const {
    groups,
    groupsOut = groups,
    eps = 1e-5,
    timeWidth,
    timeForm = 'default',
    outputScale = 1,
    resample = (x) => x,
  } = options
  const { rate, apply } = options.dropout ?? { rate: 0, apply: keepAll }
  const act = activations[options.activation ?? 'silu']
  const norm1 = groupNorm(p.at('norm1'), groups, inputs, eps)
  const conv1 = conv(p.at('conv1'), inputs, outputs, 3, { padding: 1 })
  const toTime = timeWidth ? linear(p.at('time_emb_proj'), timeWidth, timeForm === 'default' ? outputs : 2 * outputs) : undefined
  const norm2 = groupNorm(p.at('norm2'), groupsOut, outputs, eps)
  const conv2 = conv(p.at('conv2'), outputs, outputs, 3, { padding: 1 })
  const project = options.convShortcut ?? inputs !== outputs
  const shortcut = project ? conv(p.at('conv_shortcut'), inputs, outputs, 1) : (x: Tensor) => x

  const timed = (h: Tensor, t: Tensor | undefined) => {
    if (!t) return norm2(h)
    if (timeForm === 'default') return norm2(h.add(t))
    const [scale, shift] = t.split(2, 1) as [Tensor, Tensor]
    return norm2(h).mul(scale.add(1)).add(shift)
  }
  return (x, time) => {
    if (!time !== !toTime)
      throw new ArgumentError(`residual block: its timeWidth is ${timeWidth}, and it got ${time ? 'a' : 'no'} time`)
    const h = conv1(resample(act(norm1(x))))
    const t = time && toTime?.(time).unsqueeze(2).unsqueeze(3)
    const y = shortcut(resample(x)).add(conv2(apply(act(timed(h, t)), rate)))
    return outputScale === 1 ? y : y.div(outputScale)
  }
}
