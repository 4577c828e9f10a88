import { concat, resize } from '../../core/functions.ts'
import { dims, range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { activations } from '../../nn/activation.ts'
import { causalConv, type FilmLayer, type FilmMemory, filmSequence, onFrames } from '../../nn/causal.ts'
import { conv, groupNorm, type Layer } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import type { CogVideoXVaeConfig } from './config.ts'

/** An autoencoder of films, which takes them in parts one after another. */
export interface FilmAutoencoder {
  /** frames [B, C, T, H, W] in [−1, 1] → mean and ln σ² as one tensor [B, 2 · latents, T', h, w]. */
  readonly encode: FilmLayer
  /** unscaled latents [B, latents, T, h, w] → frames [B, C, T', H, W]. */
  readonly decode: FilmLayer
  /** Lengths of the parts that a film of so many frames, or latent frames, is coded in: another cut gives another film. */
  readonly parts: Readonly<Record<'encode' | 'decode', (length: number) => number[]>>
}

/** A layer on a part of a film that also sees the latents that it is decoded from. */
type GuidedLayer = (x: Tensor, z: Tensor, memory: FilmMemory) => Tensor

const conv3 = (p: Params, inputs: number, outputs: number, kernel = 3): FilmLayer =>
  causalConv(p.at('conv'), inputs, outputs, { kernel, before: 'first frame' })

/** Parts of `size`, the first of which takes the remainder too. */
const partsOf =
  (size: number) =>
  (length: number): number[] => {
    const whole = Math.max(Math.floor(length / size), 1)
    return range(whole).map((i) => (i === 0 ? length - (whole - 1) * size : size))
  }

/**
 * CogVideoX's autoencoder (Yang et al. 2024, section 2.1), with the keys of diffusers' `AutoencoderKLCogVideoX`: convolutions over time
 * see earlier frames only, and the decoder's norms see the latents. Norms are over a part: it decodes two latent frames at a time.
 */
export function cogVideoXVae(p: Params, config: CogVideoXVaeConfig): FilmAutoencoder {
  const { latent_channels: latents, out_channels: outputs } = config
  const encode = encoder(p.at('encoder'), config)
  const decode = decoder(p.at('decoder'), config)
  const quant = config.use_quant_conv ? conv(p.at('quant_conv'), 2 * outputs, 2 * outputs, 1, { axes: 3 }) : undefined
  const postQuant = config.use_post_quant_conv ? conv(p.at('post_quant_conv'), outputs, outputs, 1, { axes: 3 }) : undefined
  return {
    encode(x, memory) {
      dims(x, 'B C T H W', { C: config.in_channels })
      const moments = encode(x, memory)
      return quant ? quant(moments) : moments
    },
    decode(z, memory) {
      dims(z, 'B C T H W', { C: latents })
      return decode(postQuant ? postQuant(z) : z, memory)
    },
    parts: { encode: partsOf(8), decode: partsOf(2) },
  }
}

const timeLevels = ({ temporal_compression_ratio: ratio }: CogVideoXVaeConfig) => Math.floor(Math.log2(ratio))

function encoder(p: Params, config: CogVideoXVaeConfig): FilmLayer {
  const { block_out_channels: widths, norm_num_groups: groups, norm_eps: eps } = config
  const deepest = widths.at(-1) as number
  const norms = (at: Params, channels: number): Layer => groupNorm(at, groups, channels, eps)
  const residual = (at: Params, from: number, to: number): FilmLayer => {
    const block = residualBlock(at, from, to, config, (key, channels) => {
      const norm = norms(at.at(key), channels)
      return (x) => norm(x)
    })
    return (x, memory) => block(x, x, memory)
  }
  const blocks = widths.map((width, i) => {
    const at = p.at('down_blocks', i)
    const from = widths[Math.max(i - 1, 0)] as number
    const stack = range(config.layers_per_block).map((k) => residual(at.at('resnets', k), k === 0 ? from : width, width))
    if (i === widths.length - 1) return filmSequence(...stack)
    return filmSequence(...stack, downsampler(at.at('downsamplers', 0), width, i < timeLevels(config)))
  })
  const norm = groupNorm(p.at('norm_out'), groups, deepest, 1e-6)
  return filmSequence(
    conv3(p.at('conv_in'), config.in_channels, widths[0] as number),
    ...blocks,
    ...range(2).map((i) => residual(p.at('mid_block', 'resnets', i), deepest, deepest)),
    (x) => norm(x).silu(),
    conv3(p.at('conv_out'), deepest, 2 * config.latent_channels),
  )
}

function decoder(p: Params, config: CogVideoXVaeConfig): FilmLayer {
  const widths = config.block_out_channels.toReversed()
  const [deepest, finest] = [widths[0] as number, widths.at(-1) as number]
  const residual = (at: Params, from: number, to: number) =>
    residualBlock(at, from, to, config, (key, channels) => spatialNorm(at.at(key), channels, config))
  const middle = range(2).map((i) => residual(p.at('mid_block', 'resnets', i), deepest, deepest))
  const blocks = widths.flatMap((width, i): GuidedLayer[] => {
    const at = p.at('up_blocks', i)
    const from = widths[Math.max(i - 1, 0)] as number
    const stack = range(config.layers_per_block + 1).map((k) => residual(at.at('resnets', k), k === 0 ? from : width, width))
    if (i === widths.length - 1) return stack
    const grow = upsampler(at.at('upsamplers', 0), width, i < timeLevels(config))
    return [...stack, (x) => grow(x)]
  })
  const convIn = conv3(p.at('conv_in'), config.latent_channels, deepest)
  const norm = spatialNorm(p.at('norm_out'), finest, config)
  const convOut = conv3(p.at('conv_out'), finest, config.out_channels)
  return (z, memory) => {
    const x = [...middle, ...blocks].reduce((y, layer) => layer(y, z, memory), convIn(z, memory))
    return convOut(norm(x, z, memory).silu(), memory)
  }
}

/** Group norm whose scale and shift are the latents', brought to x's size (Zheng et al. 2022, eq. 5). A first frame of an odd number stands by itself. */
function spatialNorm(
  p: Params,
  channels: number,
  { latent_channels: latents, norm_num_groups: groups }: CogVideoXVaeConfig,
): GuidedLayer {
  const norm = groupNorm(p.at('norm_layer'), groups, channels, 1e-6)
  const scale = conv3(p.at('conv_y'), latents, channels, 1)
  const shift = conv3(p.at('conv_b'), latents, channels, 1)
  return (x, z, memory) => {
    const { T, H, W } = dims(x, 'B C T H W')
    const alone = T > 1 && T % 2 === 1
    const seen = alone
      ? concat([resize(z.slice(2, 0, 1), [1, H, W], 'nearest'), resize(z.slice(2, 1), [T - 1, H, W], 'nearest')], 2)
      : resize(z, [T, H, W], 'nearest')
    return norm(x).mul(scale(seen, memory)).add(shift(seen, memory))
  }
}

type Norms = (key: 'norm1' | 'norm2', channels: number) => GuidedLayer

function residualBlock(p: Params, from: number, to: number, config: CogVideoXVaeConfig, normOf: Norms): GuidedLayer {
  const act = activations[config.act_fn]
  const [norm1, norm2] = [normOf('norm1', from), normOf('norm2', to)]
  const conv1 = conv3(p.at('conv1'), from, to)
  const conv2 = conv3(p.at('conv2'), to, to)
  const shortcut: Layer = from === to ? (x) => x : conv(p.at('conv_shortcut'), from, to, 1, { axes: 3 })
  return (x, z, memory) => {
    const y = conv1(act(norm1(x, z, memory)), memory)
    return conv2(act(norm2(y, z, memory)), memory).add(shortcut(x))
  }
}

/** Half as many pixels a side; and half as many frames by means of two, a first one of an odd number as it is. */
function downsampler(p: Params, width: number, time: boolean): FilmLayer {
  const convolve = conv(p.at('conv'), width, width, 3, { stride: 2 })
  const halved = (x: Tensor): Tensor => {
    const { B, C, T, H, W } = dims(x, 'B C T H W')
    return x.reshape([B, C, T / 2, 2, H, W]).mean(3)
  }
  return (x) => {
    const T = x.shape[2] as number
    const first = T % 2 === 1 ? [x.slice(2, 0, 1)] : []
    const rest = T - first.length > 0 ? [halved(x.slice(2, first.length))] : []
    const fewer = time ? concat([...first, ...rest], 2) : x
    return onFrames((y) => convolve(y.pad([0, 0, 0, 0], [0, 0, 1, 1])), fewer)
  }
}

/** Twice as many pixels a side; and twice as many frames, but of one, and of the first of an odd number. */
function upsampler(p: Params, width: number, time: boolean): Layer {
  const convolve = conv(p.at('conv'), width, width, 3, { padding: 1 })
  return (x) => {
    const T = x.shape[2] as number
    const alone = T === 1 || T % 2 === 1 ? 1 : 0
    const grown =
      !time || T === 1
        ? x.upsample([1, 2, 2])
        : concat([...(alone ? [x.slice(2, 0, 1).upsample([1, 2, 2])] : []), x.slice(2, alone).upsample([2, 2, 2])], 2)
    return onFrames(convolve, grown)
  }
}
