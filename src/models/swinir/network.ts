import { padBorder } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { bicubic } from '../../nn/bicubic.ts'
import { conv, type Layer, layerNorm, sequence } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import { pixelShuffle } from '../../nn/pixel-shuffle.ts'
import type { SwinIrConfig } from './config.ts'
import { swinBlock, type WindowOptions } from './window-attention.ts'

/** The mean of DIV2K's pictures, which all networks of three channels subtract. */
const MEAN = [0.4488, 0.4371, 0.404]
/** Channels in which pixels are made. */
const FEATURES = 64

const conv3 = (p: Params, inputs: number, outputs: number) => conv(p, inputs, outputs, 3, { padding: 1 })

/**
 * SwinIR (Liang et al. 2021, fig. 2): pictures [B, C, H, W] in [0, 1] → [B, C, upscale·H, upscale·W]. Any size: the right and lower
 * borders are mirrored up to whole windows, and cut again. Keys are the published files'.
 */
export function swinIr(p: Params, config: SwinIrConfig): Layer {
  const { embed_dim: width, mlp_ratio, qkv_bias: bias } = config
  const block: Block = (at, options) => swinBlock(at, { ...options, bias, inner: Math.trunc(width * mlp_ratio) })
  return restoration(p, config, { block, embed: () => (x) => x })
}

/** What differs between SwinIR and Swin2SR: the block, and how features become tokens. */
export interface Parts {
  readonly block: Block
  /** Pixels [B, D, H, W] before they are tokens. */
  readonly embed: (p: Params, width: number) => Layer
}
export type Block = (p: Params, options: WindowOptions) => Layer
type Config = Omit<SwinIrConfig, 'upsampler'> & { readonly upsampler: SwinIrConfig['upsampler'] | 'pixelshuffle_aux' }

/** A network of Swin blocks from pictures to pictures. */
export function restoration(p: Params, config: Config, parts: Parts): Layer {
  const { in_chans: channels, embed_dim: width, upscale, upsampler, img_range: range, window_size: window } = config
  const first = conv3(p.at('conv_first'), channels, width)
  const deep = deepFeatures(p, config, parts)
  const make = reconstruction(p, config)
  const mean = constant(channels === 3 ? MEAN : [0], [channels === 3 ? 3 : 1, 1, 1], 'f32')
  return (x) => {
    const { H, W } = dims(x, 'B C H W', { C: channels })
    const missing = [H, W].map((side) => (window - (side % window)) % window)
    const padded = padBorder(x, [0, 0], missing, 'reflect').sub(mean).mul(range)
    const shallow = first(padded)
    const made = make(deep(shallow).add(shallow), padded, [H, W])
    const y = (upsampler === '' ? padded.add(made) : made).div(range).add(mean)
    return y.slice(2, 0, H * upscale).slice(3, 0, W * upscale)
  }
}

/** Residual Swin transformer blocks and a convolution: features [B, D, H, W] → the same. */
function deepFeatures(p: Params, config: Config, { block, embed }: Parts): Layer {
  const { embed_dim: width, depths, num_heads, window_size: window, img_size, patch_norm } = config
  const embedFirst = embed(p.at('patch_embed'), width)
  const start = patch_norm ? layerNorm(p.at('patch_embed', 'norm'), width) : (x: Tensor) => x
  const shifted = img_size > window ? Math.floor(window / 2) : 0
  const groups = depths.map((depth, i) => {
    const at = p.at('layers', i)
    const blocks = Array.from({ length: depth }, (_, j) =>
      block(at.at('residual_group', 'blocks', j), {
        width,
        heads: num_heads[i] as number,
        window,
        shift: j % 2 === 0 ? 0 : shifted,
      }),
    )
    const embedAgain = embed(at.at('patch_embed'), width)
    const mix = residualConv(at.at('conv'), config)
    return (x: Tensor) => channelsLast(embedAgain(mix(channelsFirst(sequence(...blocks)(x))))).add(x)
  })
  const norm = layerNorm(p.at('norm'), width)
  const mix = residualConv(p.at('conv_after_body'), config)
  return (x) => mix(channelsFirst(norm(sequence(start, ...groups)(channelsLast(embedFirst(x))))))
}

const channelsLast = (x: Tensor) => x.transpose(0, 2, 3, 1)
const channelsFirst = (x: Tensor) => x.transpose(0, 3, 1, 2)

/** The convolution at the end of a group: one, or three with a narrow middle. */
function residualConv(p: Params, { embed_dim: width, resi_connection }: Config): Layer {
  if (resi_connection === '1conv') return conv3(p, width, width)
  const narrow = Math.floor(width / 4)
  const leaky: Layer = (x) => x.leakyRelu(0.2)
  return sequence(conv3(p.at(0), width, narrow), leaky, conv(p.at(2), narrow, narrow, 1), leaky, conv3(p.at(4), narrow, width))
}

/** Features [B, D, h, w], the network's picture [B, C, h, w] and the size that was asked for → pixels. */
type Reconstruction = (features: Tensor, picture: Tensor, size: readonly [number, number]) => Tensor

function reconstruction(p: Params, { in_chans: channels, embed_dim: width, upscale, upsampler }: Config): Reconstruction {
  const before = () => sequence(conv3(p.at('conv_before_upsample', 0), width, FEATURES), (x) => x.leakyRelu(0.01))
  const leaky: Layer = (x) => x.leakyRelu(0.2)
  const shuffled = () => {
    const factors = upscale === 3 ? [3] : Array<number>(Math.log2(upscale)).fill(2)
    const larger = factors.map((factor, i) =>
      sequence(conv3(p.at('upsample', 2 * i), FEATURES, factor ** 2 * FEATURES), (x) => pixelShuffle(x, factor)),
    )
    return sequence(...larger)
  }
  const last = () => conv3(p.at('conv_last'), FEATURES, channels)
  switch (upsampler) {
    case '':
      return conv3(p.at('conv_last'), width, channels)
    case 'pixelshuffledirect':
      return sequence(conv3(p.at('upsample', 0), width, upscale ** 2 * channels), (x) => pixelShuffle(x, upscale))
    case 'pixelshuffle':
      return sequence(before(), shuffled(), last())
    case 'pixelshuffle_aux':
      return withAuxiliary(p, channels, upscale, { before: before(), shuffled: shuffled(), last: last() })
    case 'nearest+conv': {
      const names = upscale === 4 ? ['conv_up1', 'conv_up2'] : ['conv_up1']
      const larger = names.map((name) =>
        sequence((x: Tensor) => x.upsample([2, 2]), conv3(p.at(name), FEATURES, FEATURES), leaky),
      )
      return sequence(before(), ...larger, conv3(p.at('conv_hr'), FEATURES, FEATURES), leaky, last())
    }
  }
}

/** The small picture, restored on the way, and the picture enlarged by a bicubic filter beside it (Conde et al. 2022, section 3.3). */
function withAuxiliary(
  p: Params,
  channels: number,
  upscale: number,
  { before, shuffled, last }: Readonly<Record<'before' | 'shuffled' | 'last', Layer>>,
): Reconstruction {
  const ofBicubic = conv3(p.at('conv_bicubic'), channels, FEATURES)
  const auxiliary = conv3(p.at('conv_aux'), FEATURES, channels)
  const after = sequence(conv3(p.at('conv_after_aux', 0), channels, FEATURES), (x) => x.leakyRelu(0.01))
  return (features, picture, [H, W]) => {
    const [height, width] = [H * upscale, W * upscale]
    const enlarged = ofBicubic(bicubic(picture, [height, width]))
    const made = shuffled(after(auxiliary(before(features))))
    return last(made.slice(2, 0, height).slice(3, 0, width).add(enlarged))
  }
}
