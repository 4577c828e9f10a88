import { NdArray } from '../runtime/ndarray.ts'
import type { Weights } from '../runtime/weights.ts'
import { readTensor } from './safetensors.ts'
import { columns, levelsOf, rows, third, type Value } from './single-file-values.ts'

/** A pair of names: the original program's and diffusers'. Where one tensor holds three, `{qkv}` stands for the letter. */
type Pair = readonly [original: string, ours: string]

/** What the original keeps once, and diffusers in every block: the embeddings of time and class. */
const shared: readonly Pair[] = [
  ['t_embedder.mlp.0', 'norm1.emb.timestep_embedder.linear_1'],
  ['t_embedder.mlp.2', 'norm1.emb.timestep_embedder.linear_2'],
  ['y_embedder.embedding_table', 'norm1.emb.class_embedder.embedding_table'],
]

const ends: readonly Pair[] = [
  ['x_embedder.proj', 'pos_embed.proj'],
  ['final_layer.adaLN_modulation.1', 'proj_out_1'],
  ['final_layer.linear', 'proj_out_2'],
]

/** Of one block: `blocks.N.` there, `transformer_blocks.N.` here. */
const block: readonly Pair[] = [
  ['attn.qkv', 'attn1.to_{qkv}'],
  ['attn.proj', 'attn1.to_out.0'],
  ['mlp.fc1', 'ff.net.0.proj'],
  ['mlp.fc2', 'ff.net.2'],
  ['adaLN_modulation.1', 'norm1.linear'],
]

const letters = ['q', 'k', 'v'] as const

function renamed(key: string, pairs: readonly Pair[], from: 0 | 1): string | undefined {
  const tail = /\.(weight|bias)$/.exec(key)?.[0] ?? ''
  const pair = pairs.find((one) => one[from] === key.slice(0, key.length - tail.length))
  return pair && tail ? pair[1 - from] + tail : undefined
}

/** Whether a file has the original program's DiT (facebookresearch/DiT): modulated blocks, and a table of classes. */
export const isDit = (weights: Weights): boolean =>
  weights.has('blocks.0.adaLN_modulation.1.weight') && weights.has('y_embedder.embedding_table.weight')

/**
 * A class-conditional DiT (Peebles and Xie 2023) from the original program's keys to diffusers', which has the embeddings of time and
 * class in every block. No tensor is copied. The positions are left: they are the same sines for all.
 *
 * @returns with the keys that have no place
 */
export function fromDit(weights: Weights): { readonly weights: Weights; readonly unknown: readonly string[] } {
  const depth = levelsOf(weights.keys(), /^blocks\.(\d+)\./)
  const out = new Map<string, Value>()
  const unknown: string[] = []
  for (const [key, value] of weights) {
    const [, at, own] = /^blocks\.(\d+)\.(.+)$/.exec(key) ?? []
    const inBlocks = renamed(key, shared, 0)
    const name = own === undefined ? renamed(key, ends, 0) : renamed(own, block, 0)
    if (key === 'pos_embed') continue
    else if (inBlocks) for (let i = 0; i < depth; i++) out.set(`transformer_blocks.${i}.${inBlocks}`, value)
    else if (name === undefined) unknown.push(key)
    else if (own === undefined) out.set(name, value)
    else if (!name.includes('{qkv}')) out.set(`transformer_blocks.${at}.${name}`, value)
    else
      for (const [i, letter] of letters.entries())
        out.set(`transformer_blocks.${at}.${name.replace('{qkv}', letter)}`, third(value, i))
  }
  return { weights: out, unknown }
}

/**
 * The way back, but for the positions. Keys without a place are those that the original has not, and embeddings that are not the first
 * block's: a network that was trained in diffusers' form has one for each block, and does not fit.
 */
export function toDit(weights: Weights): { readonly weights: Weights; readonly unknown: readonly string[] } {
  const out = new Map<string, Value>()
  const unknown: string[] = []
  for (const [key, value] of weights) {
    const [, at, own] = /^transformer_blocks\.(\d+)\.(.+)$/.exec(key) ?? []
    if (own === undefined) {
      const name = renamed(key, ends, 1)
      if (name === undefined) unknown.push(key)
      else out.set(name, value)
      continue
    }
    const once = renamed(own, shared, 1)
    const letter = /^attn1\.to_([qkv])\./.exec(own)?.[1]
    const name = renamed(letter ? own.replace(`to_${letter}.`, 'to_{qkv}.') : own, block, 1)
    if (once !== undefined) {
      const first = out.get(once)
      if (first !== undefined && !same(first, value)) unknown.push(key)
      else out.set(once, value)
    } else if (name === undefined) unknown.push(key)
    else if (letter === undefined) out.set(`blocks.${at}.${name}`, value)
    else if (letter === 'q') {
      const parts = letters.map((other) => weights.get(key.replace('.to_q.', `.to_${other}.`)))
      if (parts.every((part) => part !== undefined)) out.set(`blocks.${at}.${name}`, NdArray.concat(parts.map(readTensor)))
      else unknown.push(key)
    }
  }
  return { weights: out, unknown }
}

function same(a: Value, b: Value): boolean {
  if (a === b || ('file' in a && 'file' in b && a.file === b.file && a.offset === b.offset)) return true
  const [x, y] = [readTensor(a), readTensor(b)]
  return x.shape.join() === y.shape.join() && x.data.every((one, i) => one === y.data[i])
}

/**
 * `DiTTransformer2DModel`'s fields. No shape tells the heads: the published XL has 72 channels each, and all others 64.
 *
 * @param original for the trained size, which the positions tell
 */
export function ditTransformerConfig(weights: Weights, original: Weights): Record<string, unknown> {
  const [width = 0, channels = 0, , patch = 2] = weights.get('pos_embed.proj.weight')?.shape ?? []
  const side = Math.round(Math.sqrt(columns(original, 'pos_embed') ?? 0)) * patch
  const headDim = width === 1152 ? 72 : Math.min(64, width)
  return {
    _class_name: 'DiTTransformer2DModel',
    num_attention_heads: Math.floor(width / headDim),
    attention_head_dim: headDim,
    in_channels: channels,
    out_channels: rows(weights, 'proj_out_2.weight') / patch ** 2,
    num_layers: levelsOf(weights.keys(), /^transformer_blocks\.(\d+)\./),
    patch_size: patch,
    sample_size: side || 32,
    num_embeds_ada_norm: rows(weights, 'transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight') - 1,
    norm_eps: 1e-5,
  }
}

/** The scheduler that DiT was published with in diffusers' layout. */
export const ditScheduler = {
  _class_name: 'DDIMScheduler',
  num_train_timesteps: 1000,
  beta_schedule: 'linear',
  beta_start: 0.0001,
  beta_end: 0.02,
  clip_sample: false,
}
