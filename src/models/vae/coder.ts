import { range } from '../../core/shape.ts'
import { conv, groupNorm, type Layer, sequence } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import { downConv, upConv } from '../../nn/resample.ts'
import { resnetBlock } from '../../nn/resnet.ts'
import { spatialAttention } from '../../nn/spatial-attention.ts'
import type { CoderConfig } from './config.ts'

const eps = 1e-6

/** images [B, in_channels, H, W] → [B, channels, H/f, W/f], f = 2^(levels − 1) (Esser et al. 2021; Rombach et al. 2022, section 3.1). */
export function encoder(p: Params, config: CoderConfig, channels: number): Layer {
  const { block_out_channels: widths, layers_per_block: layers } = config
  const deepest = widths.at(-1) as number
  const blocks = config.down_block_types.map((name, i) => {
    const at = p.at('down_blocks', i)
    const [inputs, outputs] = [widths[Math.max(i - 1, 0)] as number, widths[i] as number]
    const stack = residuals(at, config, inputs, outputs, layers, name.startsWith('Attn'))
    return i === widths.length - 1 ? stack : sequence(stack, downConv(at.at('downsamplers', 0), outputs, 0))
  })
  return sequence(
    conv(p.at('conv_in'), config.in_channels, widths[0] as number, 3, { padding: 1 }),
    ...blocks,
    middle(p.at('mid_block'), config, deepest),
    head(p, config, deepest, channels),
  )
}

/** latents [B, latent_channels, H, W] → [B, out_channels, f·H, f·W]. */
export function decoder(p: Params, config: CoderConfig): Layer {
  const widths = config.block_out_channels.toReversed()
  const deepest = widths[0] as number
  const blocks = config.up_block_types.map((name, i) => {
    const at = p.at('up_blocks', i)
    const [inputs, outputs] = [widths[Math.max(i - 1, 0)] as number, widths[i] as number]
    const stack = residuals(at, config, inputs, outputs, config.layers_per_block + 1, name.startsWith('Attn'))
    if (i === widths.length - 1) return stack
    const grow = upConv(at.at('upsamplers', 0), outputs)
    return sequence(stack, (x) => grow(x))
  })
  return sequence(
    conv(p.at('conv_in'), config.latent_channels, deepest, 3, { padding: 1 }),
    middle(p.at('mid_block'), config, deepest),
    ...blocks,
    head(p, config, widths.at(-1) as number, config.out_channels),
  )
}

/** Norm, SiLU, convolution. */
const head = (p: Params, config: CoderConfig, inputs: number, outputs: number): Layer =>
  sequence(
    groupNorm(p.at('conv_norm_out'), config.norm_num_groups, inputs, eps),
    (x) => x.silu(),
    conv(p.at('conv_out'), inputs, outputs, 3, { padding: 1 }),
  )

function middle(p: Params, config: CoderConfig, channels: number): Layer {
  const [first, second] = [0, 1].map((i) => residual(p.at('resnets', i), config, channels, channels)) as [Layer, Layer]
  return config.mid_block_add_attention
    ? sequence(first, attention(p.at('attentions', 0), config, channels), second)
    : sequence(first, second)
}

function residuals(p: Params, config: CoderConfig, inputs: number, outputs: number, count: number, attends: boolean): Layer {
  const layers = range(count).flatMap((i) => {
    const block = residual(p.at('resnets', i), config, i === 0 ? inputs : outputs, outputs)
    return attends ? [block, attention(p.at('attentions', i), config, outputs)] : [block]
  })
  return sequence(...layers)
}

function residual(
  p: Params,
  { norm_num_groups: groups, act_fn: activation }: CoderConfig,
  inputs: number,
  outputs: number,
): Layer {
  const block = resnetBlock(p, inputs, outputs, { groups, eps, activation, timeWidth: 0 })
  return (x) => block(x)
}

/** All channels in one head. */
const attention = (p: Params, { norm_num_groups: groups }: CoderConfig, channels: number): Layer =>
  spatialAttention(p, channels, { headDim: channels, groups, eps })
