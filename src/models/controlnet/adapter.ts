import { ArgumentError } from '../../core/errors.ts'
import { avgPool } from '../../core/functions.ts'
import { dims, range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { conv, type Layer, sequence } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import type { T2IAdapterConfig } from './config.ts'

/** image [B, in_channels, H, W] in [0, 1] → the features that a U-Net takes as `adapterFeatures`, finest first. */
export type T2IAdapter = (image: Tensor) => Tensor[]

/** T2I-Adapter (Mou et al. 2023, section 3.2), with the keys of diffusers' `T2IAdapter`. */
export function t2iAdapter(p: Params, config: T2IAdapterConfig): T2IAdapter {
  const { in_channels: channels, downscale_factor: factor } = config
  const { head, body, halvings } = bodies[config.adapter_type](p.at('adapter'), config)
  const step = factor * 2 ** halvings
  return (image) => {
    const { H, W } = dims(image, 'B C H W', { C: channels })
    if (H % step !== 0 || W % step !== 0) {
      throw new ArgumentError(`t2iAdapter: ${H}×${W} pixels; with its blocks, both sides must be multiples of ${step}`)
    }
    const features: Tensor[] = []
    body.reduce(
      (x, block) => {
        const y = block(x)
        features.push(y)
        return y
      },
      head(pixelUnshuffle(image, factor)),
    )
    return features
  }
}

interface Body {
  readonly head: Layer
  readonly body: readonly Layer[]
  /** How often the body halves the resolution. */
  readonly halvings: number
}

const bodies: Record<T2IAdapterConfig['adapter_type'], (p: Params, config: T2IAdapterConfig) => Body> = {
  full_adapter: (p, config) => full(p, config, (i) => ({ from: i - 1, halves: i > 0 })),
  full_adapter_xl: (p, config) => full(p, config, (i) => ({ from: i === 1 || i === 2 ? i - 1 : i, halves: i === 2 })),
  light_adapter: light,
}

/** @param plan which width block i starts from, and whether it halves the resolution */
function full(p: Params, config: T2IAdapterConfig, plan: (i: number) => { from: number; halves: boolean }): Body {
  const { channels: widths, num_res_blocks: count, in_channels: channels, downscale_factor: factor } = config
  const plans = widths.map((_, i) => plan(i))
  const body = plans.map(({ from, halves }, i) => {
    const at = p.at('body', i)
    const [inputs, outputs] = [widths[Math.max(from, 0)] as number, widths[i] as number]
    const project = inputs === outputs ? [] : [conv(at.at('in_conv'), inputs, outputs, 1)]
    return sequence(...(halves ? [half] : []), ...project, ...residuals(at, outputs, count, 1))
  })
  const head = conv(p.at('conv_in'), channels * factor ** 2, widths[0] as number, 3, { padding: 1 })
  return { head, body, halvings: plans.filter(({ halves }) => halves).length }
}

function light(p: Params, config: T2IAdapterConfig): Body {
  const { channels: widths, num_res_blocks: count, in_channels: channels, downscale_factor: factor } = config
  const all = [...widths, widths.at(-1) as number]
  const body = all.map((outputs, i) => {
    const at = p.at('body', i)
    const inputs = i === 0 ? channels * factor ** 2 : (all[i - 1] as number)
    const inner = Math.floor(outputs / 4)
    const enter = conv(at.at('in_conv'), inputs, inner, 1)
    const leave = conv(at.at('out_conv'), inner, outputs, 1)
    return sequence(...(i > 0 ? [half] : []), enter, ...residuals(at, inner, count, 3), leave)
  })
  return { head: (x) => x, body, halvings: widths.length }
}

const half: Layer = (x) => avgPool(x, 2)

/** Convolution, ReLU, convolution, and the input. */
function residuals(p: Params, channels: number, count: number, secondKernel: 1 | 3): Layer[] {
  return range(count).map((i) => {
    const at = p.at('resnets', i)
    const first = conv(at.at('block1'), channels, channels, 3, { padding: 1 })
    const second = conv(at.at('block2'), channels, channels, secondKernel, { padding: (secondKernel - 1) / 2 })
    return (x) => second(first(x).relu()).add(x)
  })
}

/** Squares of pixels as channels: [B, C, f·H, f·W] → [B, C·f², H, W]. */
function pixelUnshuffle(x: Tensor, factor: number): Tensor {
  const { B, C, H, W } = dims(x, 'B C H W')
  const [h, w] = [H / factor, W / factor]
  return x
    .reshape([B, C, h, factor, w, factor])
    .transpose(0, 1, 3, 5, 2, 4)
    .reshape([B, C * factor ** 2, h, w])
}
