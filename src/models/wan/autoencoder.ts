import { dims, range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { type FilmLayer, filmSequence } from '../../nn/causal.ts'
import type { Layer } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import type { FilmAutoencoder } from '../cogvideox/index.ts'
import { causal, downsampler, normed, pixelAttention, residual, upsampler } from './blocks.ts'
import type { WanVaeConfig } from './config.ts'

/**
 * Wan's autoencoder (Wan Team 2025, section 4.1), with the keys of diffusers' `AutoencoderKLWan`: the first frame stands alone, then four
 * are one latent frame. It is coded a latent frame at a time, which gives what the whole would: norms are of a pixel.
 */
export function wanVae(p: Params, config: WanVaeConfig): FilmAutoencoder {
  const { z_dim: latents } = config
  const patch = config.patch_size ?? 1
  const encode = filmSequence(encoder(p.at('encoder'), config), causal(p.at('quant_conv'), 2 * latents, 2 * latents, 1))
  const decode = filmSequence(causal(p.at('post_quant_conv'), latents, latents, 1), decoder(p.at('decoder'), config))
  return {
    encode: (x, memory) => encode(folded(x, patch), memory),
    decode(z, memory) {
      dims(z, 'B C T H W', { C: latents })
      return unfolded(decode(z, memory), patch).clip(-1, 1)
    },
    parts: {
      encode: (frames) => range(1 + Math.floor((frames - 1) / 4)).map((i) => (i === 0 ? 1 : 4)),
      decode: (frames) => range(frames).map(() => 1),
    },
  }
}

/** Squares of pixels as channels, columns before rows: [B, C, T, H, W] → [B, C · n², T, H/n, W/n]. */
function folded(x: Tensor, n: number): Tensor {
  const { B, C, T, H, W } = dims(x, 'B C T H W')
  if (n === 1) return x
  const apart = x.reshape([B, C, T, H / n, n, W / n, n])
  return apart.transpose(0, 1, 6, 4, 2, 3, 5).reshape([B, C * n * n, T, H / n, W / n])
}

function unfolded(x: Tensor, n: number): Tensor {
  const { B, C, T, H, W } = dims(x, 'B C T H W')
  if (n === 1) return x
  const apart = x.reshape([B, C / n ** 2, n, n, T, H, W])
  return apart.transpose(0, 1, 4, 5, 3, 6, 2).reshape([B, C / n ** 2, T, H * n, W * n])
}

const middle = (p: Params, channels: number): FilmLayer =>
  filmSequence(
    residual(p.at('resnets', 0), channels, channels),
    pixelAttention(p.at('attentions', 0), channels),
    residual(p.at('resnets', 1), channels, channels),
  )

const widthsOf = ({ dim_mult }: WanVaeConfig, base: number) => dim_mult.map((factor) => factor * base)

function encoder(p: Params, config: WanVaeConfig): FilmLayer {
  const { base_dim: base, num_res_blocks: blocks, is_residual } = config
  const widths = widthsOf(config, base)
  const deepest = widths.at(-1) as number
  const layers: FilmLayer[] = []
  let from = base
  for (const [i, width] of widths.entries()) {
    const down = i < widths.length - 1
    const time = down && (config.temperal_downsample[i] as boolean)
    if (is_residual) {
      const at = p.at('down_blocks', i)
      const run = filmSequence(
        ...range(blocks).map((k) => residual(at.at('resnets', k), k === 0 ? from : width, width)),
        ...(down ? [downsampler(at.at('downsampler'), width, time)] : []),
      )
      const shortcut = averages(width, { time: time ? 2 : 1, space: down ? 2 : 1 })
      layers.push((x, memory) => run(x, memory).add(shortcut(x)))
    } else {
      for (const k of range(blocks)) layers.push(residual(p.at('down_blocks', layers.length), k === 0 ? from : width, width))
      if (down) layers.push(downsampler(p.at('down_blocks', layers.length), width, time))
    }
    from = width
  }
  return filmSequence(
    causal(p.at('conv_in'), config.in_channels, base),
    ...layers,
    middle(p.at('mid_block'), deepest),
    normed(p.at('norm_out'), deepest),
    causal(p.at('conv_out'), deepest, 2 * config.z_dim),
  )
}

function decoder(p: Params, config: WanVaeConfig): FilmLayer {
  const { num_res_blocks: blocks, is_residual } = config
  const widths = widthsOf(config, config.decoder_base_dim ?? config.base_dim).reverse()
  const deepest = widths[0] as number
  const grows = config.temperal_downsample.toReversed()
  const layers = widths.map((width, i): FilmLayer => {
    const at = p.at('up_blocks', i)
    const up = i < widths.length - 1
    const time = up && (grows[i] as boolean)
    const before = widths[Math.max(i - 1, 0)] as number
    // 2.1's upsampling halves the channels.
    const from = i > 0 && !is_residual ? Math.floor(before / 2) : before
    const resnets = range(blocks + 1).map((k) => residual(at.at('resnets', k), k === 0 ? from : width, width))
    if (!up) return filmSequence(...resnets)
    if (!is_residual) return filmSequence(...resnets, upsampler(at.at('upsamplers', 0), width, Math.floor(width / 2), time))
    const run = filmSequence(...resnets, upsampler(at.at('upsampler'), width, width, time))
    const shortcut = repeats(width, { time: time ? 2 : 1, space: 2 })
    return (x, memory) => run(x, memory).add(shortcut(x, memory))
  })
  const finest = widths.at(-1) as number
  return filmSequence(
    causal(p.at('conv_in'), config.z_dim, deepest),
    middle(p.at('mid_block'), deepest),
    ...layers,
    normed(p.at('norm_out'), finest),
    causal(p.at('conv_out'), finest, config.out_channels),
  )
}

interface Factors {
  readonly time: number
  readonly space: number
}

/** Blocks of frames and pixels as channels, of which means of so many are the outputs (Wan 2.2). */
function averages(outputs: number, { time, space }: Factors): Layer {
  return (x) => {
    const padded = x.padAxis(2, (time - ((x.shape[2] as number) % time)) % time, 0)
    const { B, C, T, H, W } = dims(padded, 'B C T H W')
    const apart = padded.reshape([B, C, T / time, time, H / space, space, W / space, space])
    const size = [T / time, H / space, W / space]
    const channels = apart.transpose(0, 1, 3, 5, 7, 2, 4, 6).reshape([B, C * time * space ** 2, ...size])
    return channels.reshape([B, outputs, (C * time * space ** 2) / outputs, ...size]).mean(2)
  }
}

/** Channels repeated and laid out as frames and pixels; of a film's first part the last frame alone (Wan 2.2). */
function repeats(outputs: number, { time, space }: Factors): FilmLayer {
  return (x, { first }) => {
    const { B, C, T, H, W } = dims(x, 'B C T H W')
    const count = (outputs * time * space ** 2) / C
    const many = x.unsqueeze(2).expand([B, C, count, T, H, W])
    const apart = many.reshape([B, outputs, time, space, space, T, H, W])
    const y = apart.transpose(0, 1, 5, 2, 6, 3, 7, 4).reshape([B, outputs, T * time, H * space, W * space])
    return first ? y.slice(2, time - 1) : y
  }
}
