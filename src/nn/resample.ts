import { resize } from '../core/functions.ts'
import type { Shape } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import { conv, type Layer } from './layers.ts'
import type { Params } from './params.ts'

/** A convolution at every second pixel: [B, C, H, W] → [B, C, H/2, W/2]. With padding 0, zeros come below and to the right only. */
export function downConv(p: Params, channels: number, padding: 0 | 1): Layer {
  const sides = [padding, 1] as const
  return conv(p.at('conv'), channels, channels, 3, { stride: 2, padding: [sides, sides] })
}

/** Each pixel repeated, to twice the resolution or to the size given, then a convolution: [B, C, H, W] → [B, C, 2H, 2W]. */
export function upConv(p: Params, channels: number): (x: Tensor, size?: Shape) => Tensor {
  const smooth = conv(p.at('conv'), channels, channels, 3, { padding: 1 })
  return (x, size) => smooth(size ? resize(x, size, 'nearest') : x.upsample([2, 2]))
}
