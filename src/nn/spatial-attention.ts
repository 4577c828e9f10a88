import { ArgumentError } from '../core/errors.ts'
import { attention } from '../core/functions.ts'
import { dims } from '../core/shape.ts'
import { groupNorm, type Layer, linear } from './layers.ts'
import type { Params } from './params.ts'

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
export function spatialAttention(p: Params, channels: number, options: SpatialAttentionOptions): Layer {
  const { headDim, groups, eps = 1e-5, outputScale = 1 } = options
  const heads = Math.floor(channels / headDim)
  if (heads === 0) throw new ArgumentError(`attention over ${channels} channels: no head of ${headDim} fits`)
  const width = heads * headDim
  const norm = groups === undefined ? undefined : groupNorm(p.at('group_norm'), groups, channels, eps)
  const toQ = linear(p.at('to_q'), channels, width)
  const toK = linear(p.at('to_k'), channels, width)
  const toV = linear(p.at('to_v'), channels, width)
  const toOut = linear(p.at('to_out', 0), width, channels)
  return (x) => {
    const { B, C, H, W } = dims(x, 'B C H W')
    const tokens = (norm ? norm(x) : x).reshape([B, C, H * W]).transpose(0, 2, 1)
    const mixed = toOut(attention(toQ(tokens), toK(tokens), toV(tokens), { heads }))
    const y = mixed.transpose(0, 2, 1).reshape(x.shape).add(x)
    return outputScale === 1 ? y : y.div(outputScale)
  }
}

const renamed: Readonly<Record<string, string>> = { query: 'to_q', key: 'to_k', value: 'to_v', proj_attn: 'to_out.0' }

/** A key of an older checkpoint (`….query.weight`) as `spatialAttention` names it; every other key as it is. */
export const renameAttention = (key: string): string =>
  key.replace(/(?<=\.)(query|key|value|proj_attn)(?=\.(weight|bias)$)/, (name) => renamed[name] as string)
