import { concat } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { activations } from '../../nn/activation.ts'
import { feedForward } from '../../nn/feed-forward.ts'
import { layerNorm, linear } from '../../nn/layers.ts'
import { onesInit, type Params, uniform, zerosInit } from '../../nn/params.ts'
import { sinusoidal } from '../../nn/time.ts'
import { tokenAttention } from '../../nn/token-attention.ts'
import type { PriorConfig } from './config.ts'

/** What the prior is conditioned on. */
export interface PriorConditions {
  /** The text's embedding: [B, embedding_proj_dim]. */
  readonly textEmbeds: Tensor
  /** The text's states: [B, num_embeddings, embedding_dim]. */
  readonly context: Tensor
  /** 1 for the text's own tokens, 0 for padding: f32 [B, num_embeddings]. */
  readonly contextMask: Tensor
}

export interface Prior {
  /** noisy embedding [B, embedding_dim], timestep f32 [B] → the prediction [B, clip_embed_dim]. */
  readonly predict: (sample: Tensor, timestep: Tensor, conditions: PriorConditions) => Tensor
  /** A sample [B, clip_embed_dim] as CLIP's embedding: the mean and the deviation of training put back. */
  readonly restore: (sample: Tensor) => Tensor
}

/** Added to the score of what is not to be seen. */
const HIDDEN = -10000

/**
 * The diffusion prior of DALL·E 2 (Ramesh et al. 2022, section 2.2): a decoder-only transformer over the text's states, its embedding,
 * the time, the noisy embedding of the picture and a query, with diffusers' keys of `PriorTransformer`.
 */
export function priorTransformer(p: Params, config: PriorConfig): Prior {
  const { num_attention_heads: heads, attention_head_dim: headDim, embedding_dim: D, num_embeddings: M } = config
  const width = heads * headDim
  const length = M + config.additional_embeddings
  const between = config.time_embed_dim ?? width
  const textWidth = config.embedding_proj_dim ?? D
  const out = config.clip_embed_dim ?? D
  const time = p.at('time_embedding')
  const [time1, time2] = [linear(time.at('linear_1'), width, between), linear(time.at('linear_2'), between, width)]
  const projectIn = linear(p.at('proj_in'), D, width)
  const normText = config.embedding_proj_norm_type ? layerNorm(p.at('embedding_proj_norm'), textWidth) : (x: Tensor) => x
  const projectText = linear(p.at('embedding_proj'), textWidth, width)
  const projectStates = linear(p.at('encoder_hidden_states_proj'), D, width)
  const positions = p.get('positional_embedding', [1, length, width], uniform(0.02))
  const query = p.get('prd_embedding', [1, 1, width], uniform(0.02))
  const blocks = Array.from({ length: config.num_layers }, (_, i) => priorBlock(p.at('transformer_blocks', i), width, heads))
  const normIn = config.norm_in_type ? layerNorm(p.at('norm_in'), width) : (x: Tensor) => x
  const normOut = layerNorm(p.at('norm_out'), width)
  const projectOut = linear(p.at('proj_to_clip_embeddings'), width, out)
  const [mean, std] = [p.get('clip_mean', [1, out], zerosInit), p.get('clip_std', [1, out], onesInit)]

  return {
    predict: (sample, timestep, { textEmbeds, context, contextMask }) => {
      const { B } = dims(sample, 'B D', { D })
      dims(textEmbeds, 'B P', { B, P: textWidth })
      dims(context, 'B M D', { B, M, D })
      const encoded = sinusoidal(timestep, width, { cosineFirst: true, frequencyShift: 0 })
      const embedded = time2(activations[config.time_embed_act_fn](time1(encoded)))
      const tokens = [projectText(normText(textEmbeds)), embedded, projectIn(sample)].map((token) => token.unsqueeze(1))
      const sequence = concat([projectStates(context), ...tokens, query.expand([B, 1, width])], 1)
      const mask = causalScores(length).add(hidden(contextMask, config))
      const y = blocks.reduce((x, layer) => layer(x, mask), normIn(sequence.add(positions)))
      return projectOut(normOut(y.slice(1, length - 1, length).squeeze(1)))
    },
    restore: (sample) => sample.mul(std).add(mean),
  }
}

/** Attention and feed-forward, each after a norm and with its residual. */
export function priorBlock(p: Params, width: number, heads: number) {
  const [norm1, norm3] = [layerNorm(p.at('norm1'), width), layerNorm(p.at('norm3'), width)]
  const attend = tokenAttention(p.at('attn1'), { width, heads })
  const feed = feedForward(p.at('ff'), width)
  return (x: Tensor, mask: Tensor): Tensor => {
    const own = norm1(x)
    const y = x.add(attend(own, own, mask))
    return y.add(feed(norm3(y)))
  }
}

/** No token sees those behind it: [1, 1, N, N]. */
export function causalScores(length: number): Tensor {
  const scores = Float32Array.from({ length: length * length }, (_, i) => (i % length > Math.floor(i / length) ? HIDDEN : 0))
  return constant(scores, [1, 1, length, length])
}

/** No token sees the text's padding: [B, M] → [B, 1, 1, N]. */
function hidden(mask: Tensor, { num_embeddings: M, additional_embeddings: more }: PriorConfig): Tensor {
  const { B } = dims(mask, 'B M', { M })
  return mask
    .sub(1)
    .mul(-HIDDEN)
    .padAxis(1, 0, more)
    .reshape([B, 1, 1, M + more])
}
