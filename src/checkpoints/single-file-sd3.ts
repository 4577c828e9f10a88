import { NdArray } from '../runtime/ndarray.ts'
import type { Weights } from '../runtime/weights.ts'
import { columns, count, rows, type Value } from './single-file-values.ts'

/** Where the original program keeps Stable Diffusion 3's text encoders, under transformers' own keys. */
export const sd3Texts = {
  text_encoder: 'text_encoders.clip_l.transformer.',
  text_encoder_2: 'text_encoders.clip_g.transformer.',
  text_encoder_3: 'text_encoders.t5xxl.transformer.',
} as const

/** Whether a file has Stable Diffusion 3's transformer, with its prefix or as a file of its own. */
export const isSd3 = (weights: Weights): boolean =>
  [...weights.keys()].some((key) => /^(model\.diffusion_model\.)?joint_blocks\.0\./.test(key))

/** `SD3Transformer2DModel`'s fields. Without norms of queries no shape tells the heads: the published ones have 64 channels each. */
export function sd3TransformerConfig(weights: Weights): Record<string, unknown> {
  const proj = weights.get('pos_embed.proj.weight')?.shape ?? []
  const [width = 0, channels, , patch = 2] = proj
  const normed = weights.has('transformer_blocks.0.attn.norm_q.weight')
  const headDim = normed ? rows(weights, 'transformer_blocks.0.attn.norm_q.weight') : Math.min(64, width)
  const duals = [...weights.keys()].flatMap((key) => /^transformer_blocks\.(\d+)\.attn2\.to_q\.weight$/.exec(key)?.[1] ?? [])
  return {
    _class_name: 'SD3Transformer2DModel',
    sample_size: 128,
    patch_size: patch,
    in_channels: channels,
    out_channels: rows(weights, 'proj_out.weight') / patch ** 2,
    num_layers: count(weights, /^transformer_blocks\.(\d+)\./),
    attention_head_dim: headDim,
    num_attention_heads: Math.floor(width / headDim),
    caption_projection_dim: rows(weights, 'context_embedder.weight'),
    joint_attention_dim: columns(weights, 'context_embedder.weight'),
    pooled_projection_dim: columns(weights, 'time_text_embed.text_embedder.linear_1.weight'),
    pos_embed_max_size: Math.sqrt(columns(weights, 'pos_embed.pos_embed')),
    qk_norm: normed ? 'rms_norm' : null,
    dual_attention_layers: duals.map(Number).sort((a, b) => a - b),
  }
}

/** `T5EncoderModel`'s fields. */
export function t5EncoderConfig(weights: Weights): Record<string, unknown> {
  const bias = 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight'
  const first = 'encoder.block.0.layer.1.DenseReluDense'
  const gated = weights.has(`${first}.wi_0.weight`)
  const table = weights.has('shared.weight') ? 'shared.weight' : 'encoder.embed_tokens.weight'
  const heads = columns(weights, bias)
  return {
    _class_name: 'T5EncoderModel',
    model_type: 't5',
    vocab_size: rows(weights, table),
    d_model: columns(weights, table),
    d_kv: rows(weights, 'encoder.block.0.layer.0.SelfAttention.q.weight') / heads,
    d_ff: rows(weights, `${first}.${gated ? 'wi_0' : 'wi'}.weight`),
    num_layers: count(weights, /^encoder\.block\.(\d+)\./),
    num_heads: heads,
    relative_attention_num_buckets: rows(weights, bias),
    feed_forward_proj: gated ? 'gated-gelu' : 'relu',
  }
}

/** The first text encoder's projection: the file has none where it changes nothing. */
export function identity(width: number): Value {
  const values = NdArray.zeros([width, width])
  for (let i = 0; i < width; i++) values.data[i * (width + 1)] = 1
  return values
}

/** The scheduler that Stable Diffusion 3 and 3.5 were published with. */
export const sd3Scheduler = { _class_name: 'FlowMatchEulerDiscreteScheduler', num_train_timesteps: 1000, shift: 3 }
