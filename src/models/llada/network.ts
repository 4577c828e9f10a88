import { attention } from '../../core/functions.ts'
import * as core from '../../core/index.ts'
import { dims, range } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { type Layer, linear, rmsNorm } from '../../nn/layers.ts'
import { normal, type Params } from '../../nn/params.ts'
import { rotateHalves, tokenRotation } from '../../nn/positions.ts'
import type { LanguageConfig } from './config.ts'

export interface LanguageOptions {
  /** Whether a token sees only those before it: the causal twin of a model that sees all. */
  readonly causal?: boolean
}

/** tokens i64 [B, N] → logits of each place's token [B, N, V]. */
export type LanguageModel = (tokens: Tensor, options?: LanguageOptions) => Tensor

/** Where a checkpoint keeps each part. */
interface Keys {
  /** Of the embedding, the norm at the end, and the layer that reads the vocabulary. */
  readonly embedding: string
  readonly norm: string
  readonly head: string
  readonly layer: (i: number) => string
  readonly attentionNorm: string
  readonly feedNorm: string
  readonly project: readonly [q: string, k: string, v: string, out: string]
  readonly feed: readonly [gate: string, up: string, down: string]
}

const lladaKeys: Keys = {
  embedding: 'model.transformer.wte',
  norm: 'model.transformer.ln_f',
  head: 'model.transformer.ff_out',
  layer: (i) => `model.transformer.blocks.${i}`,
  attentionNorm: 'attn_norm',
  feedNorm: 'ff_norm',
  project: ['q_proj', 'k_proj', 'v_proj', 'attn_out'],
  feed: ['ff_proj', 'up_proj', 'ff_out'],
}

const dreamKeys: Keys = {
  embedding: 'model.embed_tokens',
  norm: 'model.norm',
  head: 'lm_head',
  layer: (i) => `model.layers.${i}`,
  attentionNorm: 'input_layernorm',
  feedNorm: 'post_attention_layernorm',
  project: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj'],
  feed: ['mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'],
}

/** Started as GPT-2's layers. */
const init = normal(0.02)

/**
 * Llama's transformer (Touvron et al. 2023: RMS norm, rotary positions, SwiGLU) in which every token sees all others, as masked
 * diffusion asks for (Nie et al. 2025, section 2).
 */
function languageModel(p: Params, config: LanguageConfig, keys: Keys): LanguageModel {
  const { vocabulary, width, layers, heads, keyHeads, headDim, theta, eps, tied } = config
  const table = p.at(keys.embedding).get('weight', [vocabulary, width], init)
  const blocks = range(layers).map((i) => block(p.at(keys.layer(i)), config, keys))
  const norm = rmsNorm(p.at(keys.norm), width, eps)
  const head = tied ? table : p.at(keys.head).get('weight', [vocabulary, width], init)
  return (tokens, { causal = false } = {}) => {
    const { N } = dims(tokens, 'B N')
    const angles = tokenRotation(range(N), headDim, theta)
    const [cos, sin] = [angles.cos, angles.sin].map(({ data, shape }) => constant(data, shape)) as [Tensor, Tensor]
    const turn = (x: Tensor, own: number) => rotateHalves(x, cos, sin, own)
    const attend = (q: Tensor, k: Tensor, v: Tensor) =>
      attention(turn(q, heads), repeated(turn(k, keyHeads), config), repeated(v, config), { heads, causal })
    return core.linear(norm(blocks.reduce((x, run) => run(x, attend), core.embedding(table, tokens))), head)
  }
}

type Attend = (q: Tensor, k: Tensor, v: Tensor) => Tensor

function block(p: Params, config: LanguageConfig, keys: Keys) {
  const { width, heads, keyHeads, headDim, inner, eps, projectionBias: bias } = config
  const [q, k, v, out] = keys.project
  const project = (name: string, to: number) => linear(p.at(name), width, to, { bias, init })
  const [toQ, toK, toV] = [project(q, heads * headDim), project(k, keyHeads * headDim), project(v, keyHeads * headDim)]
  const toOut = linear(p.at(out), heads * headDim, width, { bias: false, init })
  const [attentionNorm, feedNorm] = [keys.attentionNorm, keys.feedNorm].map((name) => rmsNorm(p.at(name), width, eps)) as [
    Layer,
    Layer,
  ]
  const [gate, up] = keys.feed.slice(0, 2).map((name) => linear(p.at(name), width, inner, { bias: false, init })) as [
    Layer,
    Layer,
  ]
  const down = linear(p.at(keys.feed[2]), inner, width, { bias: false, init })
  return (x: Tensor, attend: Attend): Tensor => {
    const seen = attentionNorm(x)
    const y = x.add(toOut(attend(toQ(seen), toK(seen), toV(seen))))
    const fed = feedNorm(y)
    return y.add(down(gate(fed).silu().mul(up(fed))))
  }
}

/** Heads of keys or values, each as often as heads of queries share it: [B, N, keyHeads · d] → [B, N, heads · d]. */
function repeated(x: Tensor, { heads, keyHeads, headDim }: LanguageConfig): Tensor {
  const times = heads / keyHeads
  if (times === 1) return x
  const { B, N } = dims(x, 'B N D')
  const apart = x.reshape([B, N, keyHeads, 1, headDim]).expand([B, N, keyHeads, times, headDim])
  return apart.reshape([B, N, heads * headDim])
}

/** LLaDA (Nie et al. 2025), with the keys of its `LLaDAModelLM`. */
export const llada = (p: Params, config: LanguageConfig): LanguageModel => languageModel(p, config, lladaKeys)

/** Dream (Ye et al. 2025), with the keys of its `DreamModel`, which are Qwen2's. */
export const dream = (p: Params, config: LanguageConfig): LanguageModel => languageModel(p, config, dreamKeys)

/** Buffers that some checkpoints keep of rotary positions. */
export const isRotaryBuffer = (key: string): boolean => /(^|\.)rotary_emb\.(inv_freq|original_inv_freq)$/.test(key)
