import { range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { activations } from '../../nn/activation.ts'
import { conv, groupNorm } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import { upConv } from '../../nn/resample.ts'
import { tokenAttention } from '../../nn/token-attention.ts'
import { toPixels, toTokens } from '../../nn/transformer.ts'
import type { CoderConfig } from './config.ts'

/** A layer of the decoder, which also sees the codes z [B, latent_channels, h, w]: x [B, C, H, W] → [B, C', …]. */
type Seeing = (x: Tensor, z: Tensor) => Tensor

/** Groups and ε of every spatial norm, whatever the config says. */
const norms = { groups: 32, eps: 1e-6 }

/**
 * MoVQ's decoder (Zheng et al. 2022, section 3.2), whose norms are scaled and shifted by the codes at each place: hidden
 * [B, latent_channels, h, w], codes of the same shape → [B, out_channels, f·h, f·w]. Keys as diffusers' `Decoder` with spatial norms.
 */
export function movqDecoder(p: Params, config: CoderConfig): Seeing {
  const widths = config.block_out_channels.toReversed()
  const [deepest, finest] = [widths[0] as number, widths.at(-1) as number]
  const convIn = conv(p.at('conv_in'), config.latent_channels, deepest, 3, { padding: 1 })
  const mid = p.at('mid_block')
  const middle = [
    residual(mid.at('resnets', 0), config, deepest, deepest),
    ...(config.mid_block_add_attention ? [attention(mid.at('attentions', 0), config, deepest)] : []),
    residual(mid.at('resnets', 1), config, deepest, deepest),
  ]
  const up = config.up_block_types.flatMap((name, i) => {
    const at = p.at('up_blocks', i)
    const [inputs, outputs] = [widths[Math.max(i - 1, 0)] as number, widths[i] as number]
    const layers = range(config.layers_per_block + 1).flatMap((k): Seeing[] => {
      const block = residual(at.at('resnets', k), config, k === 0 ? inputs : outputs, outputs)
      return name.startsWith('Attn') ? [block, attention(at.at('attentions', k), config, outputs)] : [block]
    })
    if (i === widths.length - 1) return layers
    const grow = upConv(at.at('upsamplers', 0), outputs)
    return [...layers, (x: Tensor) => grow(x)]
  })
  const normOut = spatialNorm(p.at('conv_norm_out'), config, finest)
  const convOut = conv(p.at('conv_out'), finest, config.out_channels, 3, { padding: 1 })
  return (hidden, z) => {
    const y = [...middle, ...up].reduce((x, layer) => layer(x, z), convIn(hidden))
    return convOut(normOut(y, z).silu())
  }
}

/** Group norm without a scale of its own to speak of: y(z) · norm(x) + b(z), the codes brought to the size by their nearest. */
function spatialNorm(p: Params, { latent_channels: codes }: CoderConfig, channels: number): Seeing {
  const norm = groupNorm(p.at('norm_layer'), norms.groups, channels, norms.eps)
  const [scale, shift] = ['conv_y', 'conv_b'].map((name) => conv(p.at(name), codes, channels, 1)) as [Convolution, Convolution]
  return (x, z) => {
    const [h, w] = z.shape.slice(2) as [number, number]
    const [H, W] = x.shape.slice(2) as [number, number]
    const near = z.upsample([H / h, W / w])
    return norm(x).mul(scale(near)).add(shift(near))
  }
}
type Convolution = (x: Tensor) => Tensor

function residual(p: Params, config: CoderConfig, inputs: number, outputs: number): Seeing {
  const act = activations[config.act_fn]
  const norm1 = spatialNorm(p.at('norm1'), config, inputs)
  const conv1 = conv(p.at('conv1'), inputs, outputs, 3, { padding: 1 })
  const norm2 = spatialNorm(p.at('norm2'), config, outputs)
  const conv2 = conv(p.at('conv2'), outputs, outputs, 3, { padding: 1 })
  const shortcut = inputs === outputs ? (x: Tensor) => x : conv(p.at('conv_shortcut'), inputs, outputs, 1)
  return (x, z) => shortcut(x).add(conv2(act(norm2(conv1(act(norm1(x, z))), z))))
}

/** Pixels among themselves, all channels in one head. */
function attention(p: Params, config: CoderConfig, channels: number): Seeing {
  const norm = spatialNorm(p.at('spatial_norm'), config, channels)
  const attend = tokenAttention(p, { width: channels, heads: 1 })
  return (x, z) => {
    const [H, W] = x.shape.slice(2) as [number, number]
    return toPixels(attend(toTokens(norm(x, z))), H, W).add(x)
  }
}
