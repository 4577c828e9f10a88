import { embedding } from '../../core/functions.ts'
import { linear } from '../../core/index.ts'
import { dims } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { normal, type Params } from '../../nn/params.ts'
import type { T5Config } from './config.ts'
import { keyMask, positionBiases, stack } from './stack.ts'

/** tokens i64 or i32 [B, N], mask of the same shape (1 a token to attend to, 0 not) → states [B, N, d_model], after the last norm. */
export type T5Encoder = (tokens: Tensor, mask?: Tensor) => Tensor

const tokenTable = (p: Params, { vocab_size, d_model, initializer_factor }: T5Config): Tensor =>
  p.at('shared').get('weight', [vocab_size, d_model], normal(initializer_factor))

/**
 * T5's encoder (Raffel et al. 2020; v1.1: Shazeer 2020) and UMT5's (Chung et al. 2023), with the keys of transformers'
 * `T5EncoderModel`. `renameT5` reads files that have the token table under its other names.
 */
export function t5Encoder(p: Params, config: T5Config): T5Encoder {
  const table = tokenTable(p, config)
  const at = p.at('encoder')
  const { num_layers: layers } = config
  const biases = positionBiases(at, config, { layers, bidirectional: true })
  const encode = stack(at, config, { layers, decoder: false })
  return (tokens, mask) => {
    const { N } = dims(tokens, 'B N')
    const seen = mask && keyMask(mask, N)
    return encode(embedding(table, tokens), { bias: biases(N).map((bias) => (seen ? bias.add(seen) : bias)) })
  }
}

export interface T5Decoding {
  /** The encoder's states [B, M, d_model]. */
  readonly context: Tensor
  /** [B, M]: 1 where the context is to be attended to, 0 not. */
  readonly contextMask?: Tensor | undefined
}

/** tokens i64 or i32 [B, N], each seeing those before it → states [B, N, d_model]. */
export type T5Decoder = (tokens: Tensor, decoding: T5Decoding) => Tensor

/** T5's decoder, which attends to an encoder's states. Keys as in transformers' `T5ForConditionalGeneration`. */
export function t5Decoder(p: Params, config: T5Config): T5Decoder {
  const table = tokenTable(p, config)
  const at = p.at('decoder')
  const layers = config.num_decoder_layers ?? config.num_layers
  const biases = positionBiases(at, config, { layers, bidirectional: false })
  const decode = stack(at, config, { layers, decoder: true })
  return (tokens, { context, contextMask }) => {
    const { N } = dims(tokens, 'B N')
    const later = Float32Array.from({ length: N * N }, (_, i) => (i % N > Math.floor(i / N) ? -1e9 : 0))
    const causal = constant(later, [1, 1, N, N])
    return decode(embedding(table, tokens), {
      bias: biases(N).map((bias) => bias.add(causal)),
      context: { states: context, mask: contextMask && keyMask(contextMask, N) },
    })
  }
}

/** Both, and the vocabulary's logits: transformers' `T5ForConditionalGeneration`. */
export function t5(p: Params, config: T5Config) {
  const encode = t5Encoder(p, config)
  const decode = t5Decoder(p, config)
  const { vocab_size: V, d_model: D, tie_word_embeddings: tied } = config
  const head = tied ? tokenTable(p, config) : p.at('lm_head').get('weight', [V, D], normal(config.initializer_factor))
  /** States of the decoder [B, N, D] → logits [B, N, vocab_size]. A shared table is scaled, since its rows are long. */
  const logits = (states: Tensor): Tensor => linear(tied ? states.mul(D ** -0.5) : states, head)
  return { encode, decode, logits }
}

/** A key as the network has it: the token table stands under one name, and under more in files. */
export const renameT5 = (key: string): string => (/^(en|de)coder\.embed_tokens\.weight$/.test(key) ? 'shared.weight' : key)

/** Keys of a whole T5 that its encoder alone does not have. */
export const isT5Decoder = (key: string): boolean => /^(decoder\.|lm_head\.)/.test(key)

/**
 * The encoder's weights of a file, under the network's names: the file may hold all of a T5, and the token table under one name or
 * several.
 */
export function t5EncoderWeights<V>(weights: ReadonlyMap<string, V>): Map<string, V> {
  const own = [...weights].filter(([key]) => key === 'decoder.embed_tokens.weight' || !isT5Decoder(key))
  const renamed = own.map(([key, value]) => [renameT5(key), value] as const)
  return new Map([...renamed, ...own.filter(([key]) => renameT5(key) === key)])
}
