import { attention, concat } from '../core/functions.ts'
import { dims } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import { gegluFeedForward } from './feed-forward.ts'
import { conv, groupNorm, type Layer, layerNorm, linear } from './layers.ts'
import type { Params } from './params.ts'

export interface CrossAttentionOptions {
  readonly width: number
  /** Width of what is attended to; `width` for self-attention. */
  readonly contextWidth?: number
  readonly heads: number
  /** Width of one head; width/heads unless given. */
  readonly headDim?: number
}

/** A picture that is attended to beside the context, by keys and values of its own (Ye et al. 2023, IP-Adapter, eq. 5). */
export interface ImagePrompt {
  /** [B, M', C], C the context's width. */
  readonly tokens: Tensor
  /** How strongly it acts: a number, or a tensor of one element. */
  readonly scale: number | Tensor
}

/** What an attention looks at. */
export interface Sight {
  /** [B, M, C]. */
  readonly context: Tensor
  /** [1|B, 1|heads, 1|N, M], added to the scores. */
  readonly mask?: Tensor | undefined
  readonly imagePrompts?: readonly ImagePrompt[] | undefined
  /** Which part of a context of several prompts the pixels of [B, C, H, W] see, as scores to add: [B, 1, H·W, M] for H and W. */
  readonly regions?: ((height: number, width: number) => Tensor) | undefined
  /**
   * Of a self-attention by its path: in how many of the batch's last entries its map is the identity, so that every token sees
   * itself alone (perturbed-attention guidance: Ahn et al. 2024, eq. 13).
   */
  readonly identity?: ((layer: string) => number) | undefined
}

/** x [B, N, D], seeing itself where nothing else is given → [B, N, D]. */
export type CrossAttention = (x: Tensor, sight?: Sight) => Tensor

/**
 * Attention to a context, or to x itself where none is given (Vaswani et al. 2017), without biases on the way in. The keys and
 * values of image prompt i are `processor.to_k_ip.i` and `processor.to_v_ip.i`, as diffusers names them.
 */
export function crossAttention(p: Params, options: CrossAttentionOptions): CrossAttention {
  const { width, contextWidth = width, heads, headDim = width / heads } = options
  const inner = heads * headDim
  const toQ = linear(p.at('to_q'), width, inner, { bias: false })
  const toK = linear(p.at('to_k'), contextWidth, inner, { bias: false })
  const toV = linear(p.at('to_v'), contextWidth, inner, { bias: false })
  const toOut = linear(p.at('to_out', 0), inner, width)
  const own = (name: string, i: number) => linear(p.at('processor', name, i), contextWidth, inner, { bias: false })
  return (x, { context, mask, imagePrompts = [], identity } = { context: x }) => {
    const q = toQ(x)
    const entries = identity?.(p.path) ?? 0
    const seen =
      entries > 0
        ? identityAttention(q, toK(context), toV(context), { heads, entries })
        : attention(q, toK(context), toV(context), mask ? { heads, mask } : { heads })
    const pictures = imagePrompts.map(({ tokens, scale }, i) =>
      attention(q, own('to_k_ip', i)(tokens), own('to_v_ip', i)(tokens), { heads }).mul(scale),
    )
    return toOut(pictures.reduce((sum, picture) => sum.add(picture), seen))
  }
}

/** Attention of tokens among themselves, but for the batch's last entries, where each token sees itself alone. */
export function identityAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { heads, entries }: { heads: number; entries: number },
): Tensor {
  const all = v.shape[0] as number
  if (entries === 0) return attention(q, k, v, { heads })
  const [seeing, blind] = [(x: Tensor) => x.slice(0, 0, all - entries), v.slice(0, all - entries, all)]
  return entries === all ? v : concat([attention(seeing(q), seeing(k), seeing(v), { heads }), blind], 0)
}

export interface TransformerBlockOptions extends CrossAttentionOptions {
  /** The first attention looks at the context too. */
  readonly onlyCross?: boolean
}

/** Self-attention, attention to the context, feed-forward, each after a norm and with its residual (Rombach et al. 2022, fig. 3). */
export function transformerBlock(p: Params, options: TransformerBlockOptions) {
  const { width, onlyCross = false, contextWidth: _, ...own } = options
  const norms = ['norm1', 'norm2', 'norm3'].map((name) => layerNorm(p.at(name), width)) as [Layer, Layer, Layer]
  const attendSelf = crossAttention(p.at('attn1'), onlyCross ? options : { ...own, width })
  const attendContext = crossAttention(p.at('attn2'), options)
  const feedForward = gegluFeedForward(p.at('ff'), width)
  return (x: Tensor, sight: Sight): Tensor => {
    const { identity, ...seen } = sight
    const own = norms[0](x)
    const a = x.add(attendSelf(own, onlyCross ? { context: sight.context } : { context: own, identity }))
    const b = a.add(attendContext(norms[1](a), seen))
    return b.add(feedForward(norms[2](b)))
  }
}

export interface SpatialTransformerOptions {
  readonly contextWidth: number
  readonly heads: number
  /** Transformer blocks one after another. */
  readonly depth: number
  readonly groups: number
  readonly onlyCross?: boolean
  /** Projections in and out as linear layers on tokens; else as 1×1 convolutions. */
  readonly linearProjection?: boolean
}

/** The pixels as tokens of transformer blocks: x [B, C, H, W] → [B, C, H, W] (Rombach et al. 2022, appendix E.2.1). */
export function spatialTransformer(p: Params, channels: number, options: SpatialTransformerOptions) {
  const { contextWidth, heads, depth, groups, onlyCross = false, linearProjection = false } = options
  const headDim = Math.floor(channels / heads)
  const width = heads * headDim
  const norm = groupNorm(p.at('norm'), groups, channels, 1e-6)
  const project = (name: string, from: number, to: number) =>
    linearProjection ? linear(p.at(name), from, to) : conv(p.at(name), from, to, 1)
  const projectIn = project('proj_in', channels, width)
  const blocks = Array.from({ length: depth }, (_, i) =>
    transformerBlock(p.at('transformer_blocks', i), { width, contextWidth, heads, headDim, onlyCross }),
  )
  const projectOut = project('proj_out', width, channels)
  return (x: Tensor, sight: Sight): Tensor => {
    const { H, W } = dims(x, 'B C H W')
    const tokens = linearProjection ? projectIn(toTokens(norm(x))) : toTokens(projectIn(norm(x)))
    const { regions, ...plain } = sight
    const mask = regions && (plain.mask ? regions(H, W).add(plain.mask) : regions(H, W))
    const seen: Sight = mask ? { ...plain, mask } : plain
    const y = blocks.reduce((z, block) => block(z, seen), tokens)
    return x.add(linearProjection ? toPixels(projectOut(y), H, W) : projectOut(toPixels(y, H, W)))
  }
}

/** [B, C, H, W] → [B, H·W, C]. */
export function toTokens(x: Tensor): Tensor {
  const { B, C, H, W } = dims(x, 'B C H W')
  return x.reshape([B, C, H * W]).transpose(0, 2, 1)
}

/** [B, H·W, C] → [B, C, H, W]. */
export function toPixels(x: Tensor, height: number, width: number): Tensor {
  const { B, C } = dims(x, 'B N C', { N: height * width })
  return x.transpose(0, 2, 1).reshape([B, C, height, width])
}
