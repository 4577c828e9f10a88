import type { Tensor } from '../../core/tensor.ts'
import { feedForward } from '../../nn/feed-forward.ts'
import { plainLayerNorm } from '../../nn/layers.ts'
import { gatedSum, modulate, modulation } from '../../nn/modulation.ts'
import type { Params } from '../../nn/params.ts'
import type { Rotation } from '../../nn/positions.ts'
import { jointAttention, tokenAttention } from '../../nn/token-attention.ts'

export interface JointBlockOptions {
  readonly width: number
  readonly heads: number
  readonly qkNorm?: 'rms_norm' | undefined
  /** The last block: the text's tokens are seen and go no further. */
  readonly contextEnds?: boolean
  /** The picture's tokens also attend to themselves alone. */
  readonly dual?: boolean
  readonly order?: 'picture first' | 'text first'
  readonly eps?: number
}

/** Two streams of tokens: the picture's [B, N, D], the text's [B, M, D] until it ends. */
export interface Streams {
  readonly x: Tensor
  readonly context: Tensor
}

/** condition [B, D]: time and pooled text. */
export type JointBlock = (streams: Streams, condition: Tensor, rotation?: Rotation) => Streams

/**
 * One block of two streams (Esser et al. 2024, fig. 2b), with diffusers' keys: each stream is modulated by the condition, both meet
 * in one attention, and each has its own feed-forward layer.
 */
export function jointBlock(p: Params, options: JointBlockOptions): JointBlock {
  const { width, heads, qkNorm, contextEnds = false, dual = false, order, eps = 1e-6 } = options
  const norm = plainLayerNorm(eps)
  const ofPicture = modulation(p.at('norm1'), width, width, dual ? 9 : 6)
  const ofText = modulation(p.at('norm1_context'), width, width, contextEnds ? 2 : 6)
  const attend = jointAttention(p.at('attn'), { width, heads, qkNorm, contextEnds, ...(order && { order }) })
  const attendSelf = dual ? tokenAttention(p.at('attn2'), { width, heads, qkNorm }) : undefined
  const feed = feedForward(p.at('ff'), width, { activation: 'gelu_tanh' })
  const feedText = contextEnds ? undefined : feedForward(p.at('ff_context'), width, { activation: 'gelu_tanh' })

  return ({ x, context }, condition, rotation) => {
    const [shift, scale, gate, shiftFeed, scaleFeed, gateFeed, shiftSelf, scaleSelf, gateSelf] = ofPicture(condition) as Nine
    const text = ofText(condition)
    const normal = norm(x)
    // The last block's modulation has the scale first.
    const [shiftText, scaleText] = (contextEnds ? [text[1], text[0]] : text) as [Tensor, Tensor]
    const seen = attend(modulate(normal, shift, scale), modulate(norm(context), shiftText, scaleText), rotation)
    let y = gatedSum(x, gate, seen.x)
    if (attendSelf) y = gatedSum(y, gateSelf, attendSelf(modulate(normal, shiftSelf, scaleSelf)))
    y = gatedSum(y, gateFeed, feed(modulate(norm(y), shiftFeed, scaleFeed)))
    if (!feedText || !seen.context) return { x: y, context }
    const [, , gateText, shiftTextFeed, scaleTextFeed, gateTextFeed] = text as Six
    const z = gatedSum(context, gateText, seen.context)
    return { x: y, context: gatedSum(z, gateTextFeed, feedText(modulate(norm(z), shiftTextFeed, scaleTextFeed))) }
  }
}

type Six = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
type Nine = [...Six, Tensor, Tensor, Tensor]
