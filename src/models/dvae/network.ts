import { ArgumentError } from '../../core/errors.ts'
import { conv as convolve, embedding, maxPool } from '../../core/functions.ts'
import { dims, range, showShape } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import type { Layer } from '../../nn/layers.ts'
import { normal, type Params, zerosInit } from '../../nn/params.ts'
import { DVAE_FACTOR, type OpenAIDiscreteVAEConfig } from './config.ts'
import { mapPixels, type PixelDistribution, unmapPixels } from './likelihood.ts'

/** An autoencoder whose latents are tokens: what every one of them can do. Pictures are [B, C, H, W] in [0, 1]. */
export interface TokenAutoencoder {
  /** Pictures → logits of the codes [B, K, H/f, W/f]. */
  readonly encode: (images: Tensor) => Tensor
  /** Tokens, i64 [B, h, w] → pictures. */
  readonly decodeTokens: (tokens: Tensor) => Tensor
}

export interface OpenAIDiscreteVAE extends TokenAutoencoder {
  /** Shares of the codes [B, K, h, w], one-hot or relaxed → the pixels' distribution. */
  readonly decode: (codes: Tensor) => PixelDistribution
}

/** A square convolution that keeps the size, with OpenAI's keys `w` and `b`. */
function conv(p: Params, inputs: number, outputs: number, kernel: number): Layer {
  const weight = p.get('w', [outputs, inputs, kernel, kernel], normal(1 / Math.sqrt(inputs * kernel ** 2)))
  const bias = p.get('b', [outputs], zerosInit)
  return (x) => convolve(x, weight, { padding: (kernel - 1) / 2, bias })
}

/** A bottleneck with its residual, whose weight falls with the number of layers: [B, inputs, H, W] → [B, outputs, H, W]. */
function block(p: Params, inputs: number, outputs: number, kernels: readonly number[], layers: number): Layer {
  const hidden = outputs / 4
  const widths = [inputs, hidden, hidden, hidden, outputs]
  const identity: Layer = inputs === outputs ? (x) => x : conv(p.at('id_path'), inputs, outputs, 1)
  const path = kernels.map((kernel, i) =>
    conv(p.at('res_path', `conv_${i + 1}`), widths[i] as number, widths[i + 1] as number, kernel),
  )
  return (x) => identity(x).add(path.reduce((y, layer) => layer(y.relu()), x).mul(1 / layers ** 2))
}

/** Four groups of blocks, with what changes the size between them. */
function groups(
  p: Params,
  { n_blk_per_group: blocks }: OpenAIDiscreteVAEConfig,
  widths: readonly number[],
  kernels: readonly number[],
) {
  const layers = 4 * blocks
  return widths.slice(1).map((outputs, i) => {
    const at = p.at(`group_${i + 1}`)
    const own = range(blocks).map((k) =>
      block(at.at(`block_${k + 1}`), k === 0 ? (widths[i] as number) : outputs, outputs, kernels, layers),
    )
    return (x: Tensor) => own.reduce((y, layer) => layer(y), x)
  })
}

/** Pixels mapped into [0.1, 0.9] → logits of the codes, an eighth of the side. Keys are those of OpenAI's encoder. */
export function dvaeEncoder(p: Params, config: OpenAIDiscreteVAEConfig): Layer {
  const { n_hid: n, input_channels, vocab_size } = config
  const at = p.at('blocks')
  const first = conv(at.at('input'), input_channels, n, 7)
  const body = groups(at, config, [n, n, 2 * n, 4 * n, 8 * n], [3, 3, 3, 1])
  const last = conv(at.at('output', 'conv'), 8 * n, vocab_size, 1)
  return (x) => {
    const { H, W } = dims(x, 'B C H W', { C: input_channels })
    if (H % DVAE_FACTOR !== 0 || W % DVAE_FACTOR !== 0)
      throw new ArgumentError(`dvaeEncoder: sides of ${showShape(x.shape)} must be multiples of ${DVAE_FACTOR}`)
    return last(body.reduce((y, group, i) => group(i === 0 ? y : maxPool(y, 2)), first(x)).relu())
  }
}

/** Shares of codes, or tokens, to what the output layer makes: [B, 2·C, 8h, 8w]. Keys are those of OpenAI's decoder. */
function dvaeDecoder(p: Params, config: OpenAIDiscreteVAEConfig) {
  const { n_hid: n, n_init, vocab_size, output_channels } = config
  const at = p.at('blocks')
  const first = conv(at.at('input'), vocab_size, n_init, 1)
  const table = at.at('input').get('w', [n_init, vocab_size, 1, 1], zerosInit)
  const bias = at.at('input').get('b', [n_init], zerosInit)
  const body = groups(at, config, [n_init, 8 * n, 4 * n, 2 * n, n], [1, 3, 3, 3])
  const last = conv(at.at('output', 'conv'), n, 2 * output_channels, 1)
  const rest = (x: Tensor) => last(body.reduce((y, group, i) => group(i === 0 ? y : y.upsample([2, 2])), x).relu())
  return {
    relaxed: (codes: Tensor) => {
      dims(codes, 'B K H W', { K: vocab_size })
      return rest(first(codes))
    },
    /** The same of one-hot codes, whose product with the table is one of its columns. */
    tokens: (tokens: Tensor) => {
      dims(tokens, 'B H W')
      return rest(
        embedding(table.reshape([n_init, vocab_size]).transpose(), tokens)
          .add(bias)
          .transpose(0, 3, 1, 2),
      )
    },
  }
}

/**
 * The discrete autoencoder of DALL·E (Ramesh et al. 2021, section 2.1 and appendix A): a picture to a grid of tokens an eighth of its
 * side, and back. `enc.` and `dec.`, as DALLE-pytorch calls the two, stand before the keys of OpenAI's encoder and decoder.
 */
export function openAIDiscreteVAE(p: Params, config: OpenAIDiscreteVAEConfig): OpenAIDiscreteVAE {
  const encode = dvaeEncoder(p.at('enc'), config)
  const { relaxed, tokens } = dvaeDecoder(p.at('dec'), config)
  const { output_channels: channels } = config
  const distribution = (outputs: Tensor): PixelDistribution => ({
    mean: outputs.slice(1, 0, channels),
    logScale: outputs.slice(1, channels),
  })
  return {
    encode: (images) => encode(mapPixels(images)),
    decode: (codes) => distribution(relaxed(codes)),
    decodeTokens: (grid) => unmapPixels(distribution(tokens(grid)).mean.sigmoid()),
  }
}

/** Logits [B, K, h, w] → the likeliest code at each position, i64 [B, h, w]: what DALL·E's transformer learns. */
export const hardTokens = (logits: Tensor): Tensor => logits.argmax(1)
