import { ArgumentError } from '../core/errors.ts'
import { attention, concat } from '../core/functions.ts'
import { dims } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import { groupNorm, type Layer, layerNorm, linear } from './layers.ts'
import type { Params } from './params.ts'
import { identityAttention, type Sight, toPixels, toTokens } from './transformer.ts'

export interface SpatialAttentionOptions {
  /** Channels of one head; the number of heads is how often they fit. */
  readonly headDim: number
  /** Groups of the norm before the projections; none leaves the norm out. */
  readonly groups?: number | undefined
  readonly eps?: number
  /** The sum with the residual is divided by this. */
  readonly outputScale?: number
}

/**
 * Self-attention among the pixels, with its residual (Ho et al. 2020, appendix B): x [B, C, H, W] → [B, C, H, W].
 * Keys as diffusers has them now; `renameAttention` reads those of older checkpoints.
 */
export function spatialAttention(p: Params, channels: number, options: SpatialAttentionOptions) {
  const { headDim, groups, eps = 1e-5, outputScale = 1 } = options
  const heads = Math.floor(channels / headDim)
  if (heads === 0) throw new ArgumentError(`attention over ${channels} channels: no head of ${headDim} fits`)
  const width = heads * headDim
  const norm = groups === undefined ? undefined : groupNorm(p.at('group_norm'), groups, channels, eps)
  const toQ = linear(p.at('to_q'), channels, width)
  const toK = linear(p.at('to_k'), channels, width)
  const toV = linear(p.at('to_v'), channels, width)
  const toOut = linear(p.at('to_out', 0), width, channels)
  return (x: Tensor, { identity }: Pick<Sight, 'identity'> = {}): Tensor => {
    const { H, W } = dims(x, 'B C H W')
    const tokens = toTokens(norm ? norm(x) : x)
    const entries = identity?.(p.path) ?? 0
    const mixed = toOut(identityAttention(toQ(tokens), toK(tokens), toV(tokens), { heads, entries }))
    const y = toPixels(mixed, H, W).add(x)
    return outputScale === 1 ? y : y.div(outputScale)
  }
}

export interface ContextAttentionOptions {
  readonly headDim: number
  readonly groups: number
  readonly contextWidth: number
  /** A norm of the context before it is projected. */
  readonly contextNorm: 'layer_norm' | 'group_norm' | null
  /** The pixels see the context alone. */
  readonly onlyCross: boolean
}

/**
 * Attention of the pixels to a context and to themselves in one softmax, with its residual (Nichol et al. 2021, section 3):
 * x [B, C, H, W], context [B, M, D], mask [B, 1, 1, M] added to the scores → [B, C, H, W].
 */
export function contextAttention(p: Params, channels: number, options: ContextAttentionOptions) {
  const { headDim, groups, contextWidth, contextNorm, onlyCross } = options
  const heads = Math.floor(channels / headDim)
  if (heads * headDim !== channels) throw new ArgumentError(`attention over ${channels} channels: heads of ${headDim} do not fit`)
  const norm = groupNorm(p.at('group_norm'), groups, channels)
  const normContext = contextNormOf(p.at('norm_cross'), contextWidth, contextNorm)
  const toQ = linear(p.at('to_q'), channels, channels)
  const own = onlyCross ? [] : ['to_k', 'to_v'].map((name) => linear(p.at(name), channels, channels))
  const [addK, addV] = ['add_k_proj', 'add_v_proj'].map((name) => linear(p.at(name), contextWidth, channels)) as [Layer, Layer]
  const toOut = linear(p.at('to_out', 0), channels, channels)
  return (x: Tensor, context: Tensor, mask?: Tensor): Tensor => {
    const { H, W } = dims(x, 'B C H W')
    const tokens = toTokens(norm(x))
    const seen = normContext(context)
    const [toK, toV] = own
    const k = toK ? concat([addK(seen), toK(tokens)], 1) : addK(seen)
    const v = toV ? concat([addV(seen), toV(tokens)], 1) : addV(seen)
    const whole = mask?.padAxis(3, 0, own.length > 0 ? H * W : 0)
    return toPixels(toOut(attention(toQ(tokens), k, v, whole ? { heads, mask: whole } : { heads })), H, W).add(x)
  }
}

function contextNormOf(p: Params, width: number, kind: ContextAttentionOptions['contextNorm']): Layer {
  switch (kind) {
    case 'layer_norm':
      return layerNorm(p, width)
    case 'group_norm': {
      const norm = groupNorm(p, 32, width)
      return (x) => norm(x.transpose(0, 2, 1)).transpose(0, 2, 1)
    }
    case null:
      return (x) => x
  }
}

const renamed: Readonly<Record<string, string>> = { query: 'to_q', key: 'to_k', value: 'to_v', proj_attn: 'to_out.0' }

/** A key of an older checkpoint (`….query.weight`) as `spatialAttention` names it; every other key as it is. */
export const renameAttention = (key: string): string =>
  key.replace(/(?<=\.)(query|key|value|proj_attn)(?=\.(weight|bias)$)/, (name) => renamed[name] as string)
