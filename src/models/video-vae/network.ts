import { dims, range } from '../../core/shape.ts'
import { type FilmLayer, filmSequence } from '../../nn/causal.ts'
import type { Params } from '../../nn/params.ts'
import type { FilmAutoencoder } from '../cogvideox/index.ts'
import { pixelAttention } from '../wan/blocks.ts'
import { downsampler, filmConv, normed, residual, upsampler } from './blocks.ts'
import { type VideoVaeConfig, videoFactors } from './config.ts'

/**
 * A causal autoencoder over space and time (Yu et al. 2024, section 3.1; Wan Team 2025, section 4.1): the first frame is coded alone,
 * then so many frames are one latent frame. Norms are of a pixel, so that parts give what the whole does.
 */
export function videoVae(p: Params, config: VideoVaeConfig): FilmAutoencoder {
  const { latent_channels: latents, block_out_channels: widths, layers_per_block: layers, temporal_downsample: time } = config
  const deepest = widths.at(-1) as number
  const finest = widths[0] as number
  const middle = (at: Params) =>
    filmSequence(
      residual(at.at('resnets', 0), deepest),
      pixelAttention(at.at('attentions', 0), deepest),
      residual(at.at('resnets', 1), deepest),
    )
  const level = (at: Params, width: number): FilmLayer[] => range(layers).map((k) => residual(at.at('resnets', k), width))

  const into = p.at('encoder')
  const encode = filmSequence(
    filmConv(into.at('conv_in'), config.in_channels, finest),
    ...widths.flatMap((width, i) => {
      const at = into.at('down_blocks', i)
      const next = widths[i + 1]
      return [...level(at, width), ...(next ? [downsampler(at.at('downsampler'), width, next, time[i] as boolean)] : [])]
    }),
    middle(into.at('mid_block')),
    normed(into.at('norm_out'), deepest),
    filmConv(into.at('conv_out'), deepest, 2 * latents),
  )
  const out = p.at('decoder')
  const falling = widths.toReversed()
  const rising = time.toReversed()
  const decode = filmSequence(
    filmConv(out.at('conv_in'), latents, deepest),
    middle(out.at('mid_block')),
    ...falling.flatMap((width, i) => {
      const at = out.at('up_blocks', i)
      const next = falling[i + 1]
      return [...level(at, width), ...(next ? [upsampler(at.at('upsampler'), width, next, rising[i] as boolean)] : [])]
    }),
    normed(out.at('norm_out'), finest),
    filmConv(out.at('conv_out'), finest, config.out_channels),
  )
  const { time: ratio } = videoFactors(config)
  return {
    encode(x, memory) {
      dims(x, 'B C T H W', { C: config.in_channels })
      return encode(x, memory)
    },
    decode(z, memory) {
      dims(z, 'B C T H W', { C: latents })
      return decode(z, memory)
    },
    parts: {
      encode: (frames) => range(1 + Math.floor((frames - 1) / ratio)).map((i) => (i === 0 ? 1 : ratio)),
      decode: (frames) => range(frames).map(() => 1),
    },
  }
}
