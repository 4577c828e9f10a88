import * as core from '../../core/functions.ts'
import { concat, embedding } from '../../core/functions.ts'
import { dims, range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { type Layer, layerNorm, linear } from '../../nn/layers.ts'
import { fanIn, fill, normal, type Params } from '../../nn/params.ts'
import { type DalleConfig, lengthsOf, textVocabulary } from './config.ts'
import type { AttentionType } from './masks.ts'
import { type Pass, type Past, type Remembered, stepPass, tables, wholePass } from './passes.ts'

/** What a pass gives. */
export interface DalleOutput {
  /** [B, N, dim], after the last layer. */
  readonly hidden: Tensor
  /** What later steps take. */
  readonly remembered: Remembered
}

export interface Dalle {
  /**
   * Text as `textInput` gives it, i64 [B, text_seq_len + 1], and tokens of pictures, i64 [B, n], in raster order, all at once: the last of
   * a whole picture is left out.
   */
  readonly whole: (text: Tensor, image?: Tensor) => DalleOutput
  /** The next image token, i64 [B], its number in the picture, i64 [1], and what came before. */
  readonly step: (token: Tensor, at: Tensor, past: Past) => DalleOutput
  /** Hidden states [B, n, dim] of text positions but for the last → logits of text tokens. */
  readonly textLogits: (hidden: Tensor) => Tensor
  /** Hidden states of the last text position and of image tokens → logits of the codes. */
  readonly imageLogits: (hidden: Tensor) => Tensor
}

type Branch = (x: Tensor, pass: Pass) => Tensor

/** Attention of a layer: queries, keys and values by one matrix without biases. */
function selfAttention(p: Params, { dim, heads, dim_head }: DalleConfig, type: AttentionType): Branch {
  const inner = heads * dim_head
  const weights = p
    .at('to_qkv')
    .get('weight', [3 * inner, dim], fanIn(dim))
    .split(3, 0)
  const out = linear(p.at('to_out', 0), inner, dim)
  return (x, pass) => {
    const [q, k, v] = weights.map((weight) => pass.turn(core.linear(x, weight))) as [Tensor, Tensor, Tensor]
    return out(pass.attend(type, q, k, v))
  }
}

function feedForward(p: Params, { dim, activation }: DalleConfig): Branch {
  const inner = 4 * dim
  const gated = activation === 'geglu'
  const into = p.at('net', 0)
  const init = fanIn(dim)
  const parts = gated ? 2 : 1
  const weights = into.get('weight', [parts * inner, dim], init).split(parts, 0)
  const biases = into.get('bias', [parts * inner], init).split(parts, 0)
  const out = linear(p.at('net', 3), inner, dim)
  return (x) => {
    const [value, gate] = weights.map((weight, i) => core.linear(x, weight, biases[i])) as [Tensor, Tensor | undefined]
    return out(gate ? value.mul(gate.gelu()) : value.gelu())
  }
}

/** A branch between norms, its input shifted, its result scaled. */
function branch(p: Params, config: DalleConfig, layer: number, inner: Branch): Branch {
  const { dim, sandwich_norm, layer_scale } = config
  const norm = layerNorm(p.at('norm'), dim)
  const normOut: Layer = sandwich_norm ? layerNorm(p.at('norm_out'), dim) : (x) => x
  const start = layer < 18 ? 0.1 : layer < 24 ? 1e-5 : 1e-6
  const scale = layer_scale ? p.get('scale', [1, 1, dim], fill(start)) : undefined
  return (x, pass) => {
    const y = normOut(inner(pass.shift(norm(x)), pass))
    return scale ? y.mul(scale) : y
  }
}

/** The layers one after another, each of two branches. */
function stack(p: Params, config: DalleConfig): Branch {
  const { depth, attn_types: types, reversible } = config
  const layers = range(depth).map((i) => {
    const type: AttentionType = types?.[i % types.length] ?? 'full'
    const [attend, feed] = [p.at(i, 0), p.at(i, 1)]
    return [
      branch(attend, config, i, selfAttention(attend, config, type)),
      branch(feed, config, i, feedForward(feed, config)),
    ] as const
  })
  if (!reversible) return (x, pass) => layers.reduce((y, [attend, feed]) => added(added(y, attend, pass), feed, pass), x)
  return (x, pass) => {
    const [a, b] = layers.reduce<[Tensor, Tensor]>(
      ([one, other], [attend, feed]) => {
        const first = one.add(attend(other, pass))
        return [first, other.add(feed(first, pass))]
      },
      [x, x],
    )
    return a.add(b).div(2)
  }
}

const added = (x: Tensor, inner: Branch, pass: Pass): Tensor => x.add(inner(x, pass))

/** Text and image tokens to vectors, positions added where they are not turned. */
function embeddings(p: Params, config: DalleConfig, head: Tensor) {
  const { dim, num_image_tokens, image_fmap_size: side, rotary_emb, share_input_output_emb: shared, stable } = config
  const { text } = lengthsOf(config)
  const vocabulary = textVocabulary(config)
  const small = normal(0.02)
  const words = shared ? head.slice(0, 0, vocabulary) : p.at('text_emb').get('weight', [vocabulary, dim], small)
  const codes = shared ? head.slice(0, vocabulary) : p.at('image_emb').get('weight', [num_image_tokens, dim], small)
  const places = rotary_emb ? undefined : p.at('text_pos_emb').get('weight', [text, dim], small)
  const axes = rotary_emb
    ? []
    : [
        [1, side, 1, dim],
        [1, 1, side, dim],
      ].map((shape, i) => p.at('image_pos_emb').get(`weights_${i}`, shape, small))
  const cells = axes[0] && axes[1] && axes[0].add(axes[1]).reshape([side * side, dim])
  // Of the gradient a tenth passes (Ding et al. 2021, appendix A).
  const calmed: Layer = (x) => (stable ? x.mul(0.1).add(x.stopGradient().mul(0.9)) : x)
  return {
    text: (tokens: Tensor) => calmed(places ? embedding(words, tokens).add(places) : embedding(words, tokens)),
    /** @param at the tokens' numbers in the picture: the first ones, or by an index [n] */
    image: (tokens: Tensor, at?: Tensor) => {
      const { N } = dims(tokens, 'B N')
      const vectors = embedding(codes, tokens)
      return calmed(cells ? vectors.add(at ? cells.gather(at, 0) : cells.slice(0, 0, N)) : vectors)
    },
  }
}

/**
 * The transformer of DALL·E (Ramesh et al. 2021, section 2.2 and appendix B): text and image tokens as one stream, each predicted from
 * those before it. With `paperFields` the paper's; by default DALLE-pytorch's, which has rotary positions also on the values, gated
 * layers, layer scale and shifted tokens. Keys are DALLE-pytorch's, but for the names of its wrappers (see `renameDalle`).
 */
export function dalle(p: Params, config: DalleConfig): Dalle {
  const { dim, num_image_tokens, stable } = config
  const { text: words, inputs } = lengthsOf(config)
  const vocabulary = textVocabulary(config)
  const total = vocabulary + num_image_tokens
  const layers = stack(p.at('transformer', 'layers', 'layers'), config)
  const norm = layerNorm(p.at('to_logits', 0), dim)
  const head = p.at('to_logits', 1)
  const weight = head.get('weight', [total, dim], fanIn(dim))
  const bias = head.get('bias', [total], fanIn(dim))
  const embed = embeddings(p, config, weight)
  const lookup = tables(config)
  // Positions of text predict text and those of pictures codes: of the joint vocabulary only that part is worked out.
  const logits = (from: number, to: number) => (hidden: Tensor) =>
    core.linear(
      norm(stable ? hidden.div(hidden.max(2, true).stopGradient()) : hidden),
      weight.slice(0, from, to),
      bias.slice(0, from, to),
    )
  return {
    whole(text, image) {
      dims(text, 'B N', { N: words })
      const tokens = image ? concat([embed.text(text), embed.image(image)], 1) : embed.text(text)
      const given = tokens.shape[1] as number
      const x = given > inputs ? tokens.slice(1, 0, inputs) : tokens
      const pass = wholePass(config, Math.min(given, inputs), lookup)
      return { hidden: layers(x, pass), remembered: pass.remembered }
    },
    step(token, at, past) {
      const { B } = dims(token, 'B')
      const pass = stepPass(config, past, at.add(words), lookup)
      return { hidden: layers(embed.image(token.reshape([B, 1]), at), pass), remembered: pass.remembered }
    },
    textLogits: logits(0, vocabulary),
    imageLogits: logits(vocabulary, total),
  }
}
