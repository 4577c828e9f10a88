import { convTranspose, embedding } from '../../core/functions.ts'
import { dims, range } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { conv, type Layer, sequence } from '../../nn/layers.ts'
import { fanIn, normal, type Params } from '../../nn/params.ts'
import type { DiscreteVAEConfig } from './config.ts'
import type { TokenAutoencoder } from './network.ts'

const relu: Layer = (x) => x.relu()

/** Two 3×3 convolutions and a 1×1, with their residual. */
function resBlock(p: Params, width: number): Layer {
  const net = p.at('net')
  const path = sequence(
    conv(net.at(0), width, width, 3, { padding: 1 }),
    relu,
    conv(net.at(2), width, width, 3, { padding: 1 }),
    relu,
    conv(net.at(4), width, width, 1),
  )
  return (x) => path(x).add(x)
}

/** A transposed convolution that doubles the sides. */
function doubled(p: Params, inputs: number, outputs: number): Layer {
  const init = fanIn(outputs * 16)
  const weight = p.get('weight', [inputs, outputs, 4, 4], init)
  const bias = p.get('bias', [outputs], init)
  return (x) => convTranspose(x, weight, { stride: 2, padding: 1 }).add(bias.reshape([1, outputs, 1, 1]))
}

export interface DiscreteVAE extends TokenAutoencoder {
  /** Tokens → pictures as its normalisation has them. */
  readonly decoded: (tokens: Tensor) => Tensor
}

/** DALLE-pytorch's own discrete autoencoder, with its keys: its errors were squared ones, so it has no distribution of pixels. */
export function discreteVAE(p: Params, config: DiscreteVAEConfig): DiscreteVAE {
  const { channels, num_tokens, codebook_dim, num_layers, num_resnet_blocks: blocks, hidden_dim: width, normalization } = config
  const [encoder, decoder] = [p.at('encoder'), p.at('decoder')]
  const codebook = p.at('codebook')
  const table = codebook.get('weight', [num_tokens, codebook_dim], normal(1))
  const encode = sequence(
    ...range(num_layers).map((i) =>
      sequence(conv(encoder.at(i, 0), i === 0 ? channels : width, width, 4, { stride: 2, padding: 1 }), relu),
    ),
    ...range(blocks).map((i) => resBlock(encoder.at(num_layers + i), width)),
    conv(encoder.at(num_layers + blocks), width, num_tokens, 1),
  )
  const start = blocks > 0 ? 1 + blocks : 0
  const decode = sequence(
    ...(blocks > 0 ? [conv(decoder.at(0), codebook_dim, width, 1)] : []),
    ...range(blocks).map((i) => resBlock(decoder.at(1 + i), width)),
    ...range(num_layers).map((i) =>
      sequence(doubled(decoder.at(start + i, 0), i === 0 && blocks === 0 ? codebook_dim : width, width), relu),
    ),
    conv(decoder.at(start + num_layers), width, channels, 1),
  )
  const column = (values: readonly number[]) => constant(values.slice(0, channels), [1, channels, 1, 1])
  const [mean, std] = (normalization ?? [Array(channels).fill(0), Array(channels).fill(1)]) as [number[], number[]]
  const decoded = (tokens: Tensor) => decode(embedding(table, tokens).transpose(0, 3, 1, 2))
  return {
    encode: (images) => {
      dims(images, 'B C H W', { C: channels })
      return encode(images.sub(column(mean)).div(column(std)))
    },
    decoded,
    // Its own program writes the decoder's normalised values, stretched to the picture's extremes: here they become pixels again.
    decodeTokens: (tokens) => decoded(tokens).mul(column(std)).add(column(mean)).clip(0, 1),
  }
}
