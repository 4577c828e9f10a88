import { NdArray } from '../runtime/ndarray.ts'
import type { Weights } from '../runtime/weights.ts'
import { readTensor } from './safetensors.ts'
import { levelsOf, third, type Value } from './single-file-values.ts'

/** A pair of names: the original program's and diffusers'. Where one tensor holds three, `{qkv}` stands for the letter. */
type Pair = readonly [original: string, ours: string]

const ends: readonly Pair[] = [
  ['pos_embed', 'pos_embed.pos_embed'],
  ['x_embedder.proj', 'pos_embed.proj'],
  ['t_embedder.mlp.0', 'time_text_embed.timestep_embedder.linear_1'],
  ['t_embedder.mlp.2', 'time_text_embed.timestep_embedder.linear_2'],
  ['y_embedder.mlp.0', 'time_text_embed.text_embedder.linear_1'],
  ['y_embedder.mlp.2', 'time_text_embed.text_embedder.linear_2'],
  ['context_embedder', 'context_embedder'],
  ['final_layer.linear', 'proj_out'],
  ['final_layer.adaLN_modulation.1', 'norm_out.linear'],
]

/** Of one block: `joint_blocks.N.` there, `transformer_blocks.N.` here. */
const block: readonly Pair[] = [
  ['x_block.attn.qkv', 'attn.to_{qkv}'],
  ['context_block.attn.qkv', 'attn.add_{qkv}_proj'],
  ['x_block.attn.ln_q', 'attn.norm_q'],
  ['x_block.attn.ln_k', 'attn.norm_k'],
  ['context_block.attn.ln_q', 'attn.norm_added_q'],
  ['context_block.attn.ln_k', 'attn.norm_added_k'],
  ['x_block.attn.proj', 'attn.to_out.0'],
  ['context_block.attn.proj', 'attn.to_add_out'],
  ['x_block.attn2.qkv', 'attn2.to_{qkv}'],
  ['x_block.attn2.ln_q', 'attn2.norm_q'],
  ['x_block.attn2.ln_k', 'attn2.norm_k'],
  ['x_block.attn2.proj', 'attn2.to_out.0'],
  ['x_block.adaLN_modulation.1', 'norm1.linear'],
  ['context_block.adaLN_modulation.1', 'norm1_context.linear'],
  ['x_block.mlp.fc1', 'ff.net.0.proj'],
  ['x_block.mlp.fc2', 'ff.net.2'],
  ['context_block.mlp.fc1', 'ff_context.net.0.proj'],
  ['context_block.mlp.fc2', 'ff_context.net.2'],
]

/** A key of the original program (without `model.diffusion_model.`) as diffusers', `{qkv}` in it where the tensor holds three. */
export function sd3Key(key: string): string | undefined {
  const match = /^joint_blocks\.(\d+)\.(.+)$/.exec(key)
  const found = renamed(match?.[2] ?? key, match ? block : ends, 0)
  return found === undefined || !match ? found : `transformer_blocks.${match[1]}.${found}`
}

/** The way back, for keys with `{qkv}`. */
export function sd3KeyBack(key: string): string | undefined {
  const match = /^transformer_blocks\.(\d+)\.(.+)$/.exec(key)
  const found = renamed(match?.[2] ?? key, match ? block : ends, 1)
  return found === undefined || !match ? found : `joint_blocks.${match[1]}.${found}`
}

function renamed(key: string, pairs: readonly Pair[], from: 0 | 1): string | undefined {
  for (const pair of pairs) {
    const [name, to] = [pair[from], pair[1 - from] as string]
    if (key === name || key.startsWith(`${name}.`)) return to + key.slice(name.length)
  }
  return undefined
}

const letters = ['q', 'k', 'v'] as const

/**
 * Modulations of which the original program has the shift first and diffusers the scale: that of the output, and that of the text in
 * the last block, which goes no further.
 */
const isSwapped = (ours: string, last: number): boolean =>
  ours.startsWith('norm_out.linear.') || ours.startsWith(`transformer_blocks.${last}.norm1_context.linear.`)

/** Halves of the rows in the other order. */
export function swapped(value: Value): NdArray {
  const { data, shape, dtype } = readTensor(value)
  const half = data.length / 2
  const out = NdArray.zeros(shape, dtype)
  out.data.set(data.subarray(half) as never, 0)
  out.data.set(data.subarray(0, half) as never, half)
  return out
}

/**
 * The transformer of Stable Diffusion 3 and 3.5 from the original program's keys to diffusers'. No tensor is copied but the two
 * modulations whose halves change places.
 *
 * @param weights without the prefix `model.diffusion_model.`
 * @returns with the keys that have no place
 */
export function fromSd3(weights: Weights): { readonly weights: Weights; readonly unknown: readonly string[] } {
  const last = levelsOf(weights.keys(), /^joint_blocks\.(\d+)\./) - 1
  const out = new Map<string, Value>()
  const unknown: string[] = []
  for (const [key, value] of weights) {
    const name = sd3Key(key)
    if (name === undefined) unknown.push(key)
    else if (name.includes('{qkv}'))
      for (const [i, letter] of letters.entries()) out.set(name.replace('{qkv}', letter), third(value, i))
    else out.set(name, isSwapped(name, last) ? swapped(value) : value)
  }
  return { weights: out, unknown }
}

/** Where an adapter's module of the original program's network lies in diffusers': in one weight, or in three. */
export interface Sd3Module {
  /** Keys of weights, of q, k and v in this order where there are three. */
  readonly keys: readonly string[]
  readonly swapped: boolean
}

/** The modules of a Stable Diffusion 3 transformer by the original program's names; none for another network. */
export function sd3Modules(weights: Weights): ReadonlyMap<string, Sd3Module> {
  const modules = new Map<string, Sd3Module>()
  if (!weights.has('transformer_blocks.0.norm1_context.linear.weight') || !weights.has('pos_embed.proj.weight')) return modules
  const last = levelsOf(weights.keys(), /^transformer_blocks\.(\d+)\./) - 1
  for (const key of weights.keys()) {
    const joined = /\.(to_|add_)[qkv](_proj)?\.weight$/
    const name = key.endsWith('.weight') && sd3KeyBack(key.replace(joined, '.$1{qkv}$2.weight'))
    if (!name) continue
    const module = name.slice(0, -'.weight'.length)
    modules.set(module, { keys: [...(modules.get(module)?.keys ?? []), key], swapped: isSwapped(key, last) })
  }
  for (const [module, { keys, ...rest }] of modules) {
    const order = (key: string) =>
      (/[qkv](?=(_proj)?\.weight$)/.exec(key)?.[0] ?? '').replace('q', '0').replace('k', '1').replace('v', '2')
    if (keys.length > 1) modules.set(module, { ...rest, keys: keys.toSorted((a, b) => (order(a) < order(b) ? -1 : 1)) })
  }
  return modules
}

/** The way back. */
export function toSd3(weights: Weights): { readonly weights: Weights; readonly unknown: readonly string[] } {
  const last = levelsOf(weights.keys(), /^transformer_blocks\.(\d+)\./) - 1
  const out = new Map<string, Value>()
  const unknown: string[] = []
  const joined = /\.(to_|add_)([qkv])(_proj)?\.(weight|bias)$/
  for (const [key, value] of weights) {
    const [, head, letter, tail = ''] = joined.exec(key) ?? []
    const one = (name: string) => key.replace(joined, `.${head}${name}${tail}.$4`)
    const name = sd3KeyBack(letter === undefined ? key : one('{qkv}'))
    if (name === undefined) unknown.push(key)
    else if (letter === undefined) out.set(name, isSwapped(key, last) ? swapped(value) : value)
    else if (letter === 'q') {
      const parts = letters.map((other) => weights.get(one(other)))
      if (parts.every((part) => part !== undefined)) out.set(name, NdArray.concat(parts.map(readTensor)))
      else unknown.push(key)
    }
  }
  return { weights: out, unknown }
}
