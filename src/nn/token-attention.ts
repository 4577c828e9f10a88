import { attention, concat } from '../core/functions.ts'
import { dims } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import { type Layer, layerNorm, linear, rmsNorm } from './layers.ts'
import type { Params } from './params.ts'
import { type Rotation, rotate } from './positions.ts'

export interface TokenAttentionOptions {
  readonly width: number
  readonly heads: number
  /** Width of one head; width/heads unless given. */
  readonly headDim?: number
  /** Width of what is attended to; `width` unless given. */
  readonly contextWidth?: number
  /** Of the projections to queries, keys and values; that of the result always has one. */
  readonly bias?: boolean
  /** Queries and keys are normalised (Dehghani et al. 2023): each head by itself with one weight for all heads, or all heads together. */
  readonly qkNorm?: 'rms_norm' | 'layer_norm' | 'rms_norm_across_heads' | undefined
  readonly qkEps?: number
  /** Whether there is an output layer; without one the result is the heads' values side by side. */
  readonly out?: boolean
}

/** One stream's inputs to attention: queries, keys and values [B, N, heads · headDim], normalised head by head where asked for. */
interface Projections {
  readonly q: Layer
  readonly k: Layer
  readonly v: Layer
}

interface ProjectionKeys {
  readonly project: readonly [q: string, k: string, v: string]
  readonly norm: readonly [q: string, k: string]
}
const ownKeys: ProjectionKeys = { project: ['to_q', 'to_k', 'to_v'], norm: ['norm_q', 'norm_k'] }
const addedKeys: ProjectionKeys = {
  project: ['add_q_proj', 'add_k_proj', 'add_v_proj'],
  norm: ['norm_added_q', 'norm_added_k'],
}

function projections(p: Params, options: TokenAttentionOptions, keys: ProjectionKeys): Projections {
  const { width, heads, headDim = width / heads, contextWidth = width, bias = true, qkNorm, qkEps = 1e-6 } = options
  const [q, k, v] = keys.project.map((key, i) => linear(p.at(key), i === 0 ? width : contextWidth, heads * headDim, { bias }))
  const [normQ, normK] = keys.norm.map((key) => {
    if (!qkNorm) return (x: Tensor) => x
    if (qkNorm === 'rms_norm_across_heads') return rmsNorm(p.at(key), heads * headDim, qkEps)
    return perHead((qkNorm === 'rms_norm' ? rmsNorm : layerNorm)(p.at(key), headDim, qkEps), heads, headDim)
  })
  return { q: (x) => (normQ as Layer)((q as Layer)(x)), k: (x) => (normK as Layer)((k as Layer)(x)), v: v as Layer }
}

/** A norm of each head by itself: x [B, N, heads · d], one weight [d]. */
function perHead(norm: Layer, heads: number, headDim: number): Layer {
  return (x) => {
    const { B, N } = dims(x, 'B N D')
    return norm(x.reshape([B, N, heads, headDim])).reshape([B, N, heads * headDim])
  }
}

/**
 * Attention with diffusers' keys `to_q`, `to_k`, `to_v`, `to_out.0`: x [B, N, D], context [B, M, C], mask [1|B, 1|heads, N, M] added to
 * the scores → [B, N, D]. Without a context x sees itself, and its positions may be turned.
 */
export function tokenAttention(p: Params, options: TokenAttentionOptions) {
  const { width, heads, headDim = width / heads, out = true } = options
  const { q, k, v } = projections(p, options, ownKeys)
  const toOut: Layer = out ? linear(p.at('to_out', 0), heads * headDim, width) : (x) => x
  return (x: Tensor, context: Tensor = x, mask?: Tensor, rotation?: Rotation): Tensor => {
    const turned = (tokens: Tensor) => (rotation ? rotate(tokens, rotation, heads) : tokens)
    return toOut(attention(turned(q(x)), turned(k(context)), v(context), mask ? { heads, mask } : { heads }))
  }
}

export interface JointAttentionOptions extends Omit<TokenAttentionOptions, 'contextWidth' | 'out'> {
  /** Whether the second stream ends here: it then has no output layer. */
  readonly contextEnds?: boolean
  /** Which stream's tokens come first where positions are turned. */
  readonly order?: 'picture first' | 'text first'
}

/**
 * Two streams of tokens, a picture's and a text's, in one attention (Esser et al. 2024, fig. 2b): each has its own projections in and
 * out, and every token sees all of both. x [B, N, D], context [B, M, D] → the same two.
 */
export function jointAttention(p: Params, options: JointAttentionOptions) {
  const { width, heads, headDim = width / heads, contextEnds = false, order = 'picture first' } = options
  const picture = projections(p, options, ownKeys)
  const text = projections(p, options, addedKeys)
  const toOut = linear(p.at('to_out', 0), heads * headDim, width)
  const toAddOut = contextEnds ? undefined : linear(p.at('to_add_out'), heads * headDim, width)
  return (x: Tensor, context: Tensor, rotation?: Rotation): { readonly x: Tensor; readonly context: Tensor | undefined } => {
    const { N } = dims(x, 'B N D')
    const { M } = dims(context, 'B M D')
    const first = order === 'picture first'
    const joined = (part: keyof Projections) => {
      const both = [picture[part](x), text[part](context)]
      return concat(first ? both : both.reverse(), 1)
    }
    const turned = (tokens: Tensor) => (rotation ? rotate(tokens, rotation, heads) : tokens)
    const y = attention(turned(joined('q')), turned(joined('k')), joined('v'), { heads })
    const [own, other] = first ? [y.slice(1, 0, N), y.slice(1, N)] : [y.slice(1, M), y.slice(1, 0, M)]
    return { x: toOut(own), context: toAddOut?.(other) }
  }
}
