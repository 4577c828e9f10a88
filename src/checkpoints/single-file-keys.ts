import { isClipBuffer, renameClipText } from '../models/clip/keys.ts'

/** A pair of names: the single file's and diffusers'. */
type Pair = readonly [original: string, ours: string]

/** Rules between two spellings of a key, read from left to right or from right to left: the first whose start fits decides. */
const start = (key: string, pairs: readonly Pair[], back: boolean): string | undefined => {
  for (const [original, ours] of pairs) {
    const [from, to] = back ? [ours, original] : [original, ours]
    if (key === from || key.startsWith(`${from}.`)) return to + key.slice(from.length)
  }
  return undefined
}

const resnetParts: readonly Pair[] = [
  ['in_layers.0', 'norm1'],
  ['in_layers.2', 'conv1'],
  ['emb_layers.1', 'time_emb_proj'],
  ['out_layers.0', 'norm2'],
  ['out_layers.3', 'conv2'],
  ['skip_connection', 'conv_shortcut'],
]

/** What a U-Net's key depends on beyond its own spelling. */
export interface UnetLayout {
  /** Residual blocks of a level on the way down. */
  readonly layers: number
  /** `label_emb.0` embeds the sizes of XL; else it is of classes. */
  readonly sizes: boolean
  /** Up blocks with attention, whose upsampler stands one place later in the original. */
  readonly attended: ReadonlySet<number>
}

const unetEnds = ({ sizes }: UnetLayout): readonly Pair[] => [
  ['time_embed.0', 'time_embedding.linear_1'],
  ['time_embed.2', 'time_embedding.linear_2'],
  ['time_embed.cond_proj', 'time_embedding.cond_proj'],
  ['label_emb.0.0', sizes ? 'add_embedding.linear_1' : 'class_embedding.linear_1'],
  ['label_emb.0.2', sizes ? 'add_embedding.linear_2' : 'class_embedding.linear_2'],
  ['label_emb', 'class_embedding'],
  ['input_blocks.0.0', 'conv_in'],
  ['out.0', 'conv_norm_out'],
  ['out.2', 'conv_out'],
]

const middle: readonly Pair[] = [
  ['middle_block.0', 'mid_block.resnets.0'],
  ['middle_block.1', 'mid_block.attentions.0'],
  ['middle_block.2', 'mid_block.resnets.1'],
]

const inner = (name: string, rest: string, back: boolean): string | undefined =>
  name === 'resnets' ? start(rest, resnetParts, back) : rest

/** A U-Net's key of a single file (without `model.diffusion_model.`) as diffusers', or undefined for one that it cannot have. */
export function unetKey(key: string, layout: UnetLayout): string | undefined {
  const end = start(key, unetEnds(layout), false)
  if (end !== undefined) return end
  const mid = start(key, middle, false)
  if (mid !== undefined) {
    const [, head, name, rest] = /^(mid_block\.(\w+)\.\d+)\.(.+)$/.exec(mid) as unknown as [string, string, string, string]
    const part = inner(name, rest, false)
    return part && `${head}.${part}`
  }
  const match = /^(input|output)_blocks\.(\d+)\.(\d+)\.(.+)$/.exec(key)
  if (!match) return undefined
  const [side, number, slot, rest] = [match[1], Number(match[2]), Number(match[3]), match[4] as string]
  const per = layout.layers + 1
  const place = side === 'input' ? number - 1 : number
  const [block, layer] = [Math.floor(place / per), place % per]
  const at = `${side === 'input' ? 'down' : 'up'}_blocks.${block}`
  if (side === 'input' && slot === 0 && rest.startsWith('op.')) return `${at}.downsamplers.0.conv.${rest.slice(3)}`
  if (side === 'output' && slot > 0 && rest.startsWith('conv.')) return `${at}.upsamplers.0.${rest}`
  const name = ['resnets', 'attentions'][slot]
  const part = name && inner(name, rest, false)
  return part && `${at}.${name}.${layer}.${part}`
}

/** The way back: diffusers' key as the single file's. */
export function unetKeyBack(key: string, layout: UnetLayout): string | undefined {
  const end = start(key, unetEnds(layout), true)
  if (end !== undefined) return end
  const match = /^(down|up|mid)_blocks?\.(?:(\d+)\.)?(\w+)\.(\d+)\.(.+)$/.exec(key)
  if (!match) return undefined
  const [side, block, name, layer, rest] = [
    match[1],
    Number(match[2] ?? 0),
    match[3] as string,
    Number(match[4]),
    match[5] as string,
  ]
  const per = layout.layers + 1
  const head = side === 'up' ? `output_blocks.${block * per}` : `input_blocks.${1 + block * per}`
  const at = (place: number, slot: number) => `${head.split('.')[0]}.${Number(head.split('.')[1]) + place}.${slot}`
  if (name === 'downsamplers') return `${at(layout.layers, 0)}.op.${rest.replace(/^conv\./, '')}`
  if (name === 'upsamplers') return `${at(layout.layers, layout.attended.has(block) ? 2 : 1)}.${rest}`
  const part = inner(name, rest, true)
  if (part === undefined || (name !== 'resnets' && name !== 'attentions')) return undefined
  if (side === 'mid') return `${name === 'attentions' ? 'middle_block.1' : `middle_block.${2 * layer}`}.${part}`
  return `${at(layer, name === 'resnets' ? 0 : 1)}.${part}`
}

const vaeAttention: readonly Pair[] = [
  ['norm', 'group_norm'],
  ['q', 'to_q'],
  ['k', 'to_k'],
  ['v', 'to_v'],
  ['proj_out', 'to_out.0'],
]

const vaeMiddle: readonly Pair[] = [
  ['mid.block_1', 'mid_block.resnets.0'],
  ['mid.block_2', 'mid_block.resnets.1'],
  ['norm_out', 'conv_norm_out'],
]

const shortcut = (rest: string, back: boolean): string =>
  back ? rest.replace(/^conv_shortcut\b/, 'nin_shortcut') : rest.replace(/^nin_shortcut\b/, 'conv_shortcut')

/** An autoencoder's key of a single file (without `first_stage_model.`) as diffusers', for so many levels. */
export function vaeKey(key: string, levels: number): string | undefined {
  if (/^(post_)?quant_conv\./.test(key)) return key
  const match = /^(encoder|decoder)\.(.+)$/.exec(key)
  if (!match) return undefined
  const [, side, rest] = match as unknown as [string, string, string]
  const attention = /^mid\.attn_1\.(.+)$/.exec(rest)
  if (attention) {
    const part = start(attention[1] as string, vaeAttention, false)
    return part && `${side}.mid_block.attentions.0.${part}`
  }
  const level = /^(down|up)\.(\d+)\.(?:block\.(\d+)\.(.+)|(?:down|up)sample\.(conv\..+))$/.exec(rest)
  if (level) {
    const [, way, number, layer, part, conv] = level as unknown as string[]
    const at = `${side}.${way}_blocks.${way === 'up' ? levels - 1 - Number(number) : number}`
    return conv === undefined ? `${at}.resnets.${layer}.${shortcut(part as string, false)}` : `${at}.${way}samplers.0.${conv}`
  }
  const mid = start(rest, vaeMiddle, false)
  if (mid !== undefined) return `${side}.${mid.replace(/nin_shortcut/, 'conv_shortcut')}`
  return /^conv_(in|out)\./.test(rest) ? key : undefined
}

/** The way back. */
export function vaeKeyBack(key: string, levels: number): string | undefined {
  if (/^(post_)?quant_conv\./.test(key)) return key
  const match = /^(encoder|decoder)\.(.+)$/.exec(key)
  if (!match) return undefined
  const [, side, rest] = match as unknown as [string, string, string]
  const attention = /^mid_block\.attentions\.0\.(.+)$/.exec(rest)
  if (attention) {
    const part = start(attention[1] as string, vaeAttention, true)
    return part && `${side}.mid.attn_1.${part}`
  }
  const level = /^(down|up)_blocks\.(\d+)\.(?:resnets\.(\d+)\.(.+)|(?:down|up)samplers\.0\.(.+))$/.exec(rest)
  if (level) {
    const [, way, number, layer, part, conv] = level as unknown as string[]
    const at = `${side}.${way}.${way === 'up' ? levels - 1 - Number(number) : number}`
    return conv === undefined ? `${at}.block.${layer}.${shortcut(part as string, true)}` : `${at}.${way}sample.${conv}`
  }
  const mid = start(rest, vaeMiddle, true)
  if (mid !== undefined) return `${side}.${mid.replace(/conv_shortcut/, 'nin_shortcut')}`
  return /^conv_(in|out)\./.test(rest) ? key : undefined
}

const openClipEnds: readonly Pair[] = [
  ['positional_embedding', 'text_model.embeddings.position_embedding.weight'],
  ['token_embedding', 'text_model.embeddings.token_embedding'],
  ['ln_final', 'text_model.final_layer_norm'],
  ['text_projection', 'text_projection.weight'],
]

const openClipLayer: readonly Pair[] = [
  ['ln_1', 'layer_norm1'],
  ['ln_2', 'layer_norm2'],
  ['mlp.c_fc', 'mlp.fc1'],
  ['mlp.c_proj', 'mlp.fc2'],
  ['attn.out_proj', 'self_attn.out_proj'],
  ['attn.in_proj_weight', 'self_attn.{qkv}_proj.weight'],
  ['attn.in_proj_bias', 'self_attn.{qkv}_proj.bias'],
]

/** An OpenCLIP text model's key as transformers'; `{qkv}` stands for the three that lie in one tensor. */
export function openClipKey(key: string): string | undefined {
  const layer = /^transformer\.resblocks\.(\d+)\.(.+)$/.exec(key)
  if (!layer) return start(key, openClipEnds, false)
  const part = start(layer[2] as string, openClipLayer, false)
  return part && `text_model.encoder.layers.${layer[1]}.${part}`
}

/** The way back, for keys with `{qkv}`. */
export function openClipKeyBack(key: string): string | undefined {
  const layer = /^text_model\.encoder\.layers\.(\d+)\.(.+)$/.exec(key)
  if (!layer) return start(key, openClipEnds, true)
  const part = start(layer[2] as string, openClipLayer, true)
  return part && `transformer.resblocks.${layer[1]}.${part}`
}

/** A text model that lies in the file as transformers has it. Undefined for a buffer. */
export const clipKey = (key: string): string | undefined => (isClipBuffer(key) ? undefined : renameClipText(key))

/**
 * A ControlNet's key of the original program as diffusers'.
 *
 * @param last number of the last convolution of `input_hint_block`, which has one at each even number
 */
export function controlNetKey(key: string, layout: UnetLayout, last: number): string | undefined {
  const zero = /^zero_convs\.(\d+)\.0\.(\w+)$/.exec(key)
  if (zero) return `controlnet_down_blocks.${zero[1]}.${zero[2]}`
  const mid = /^middle_block_out\.0\.(\w+)$/.exec(key)
  if (mid) return `controlnet_mid_block.${mid[1]}`
  const hint = /^input_hint_block\.(\d+)\.(\w+)$/.exec(key)
  if (!hint) return /^(output_blocks|out)\./.test(key) ? undefined : unetKey(key, layout)
  const at = Number(hint[1])
  const part = at === 0 ? 'conv_in' : at === last ? 'conv_out' : `blocks.${at / 2 - 1}`
  return `controlnet_cond_embedding.${part}.${hint[2]}`
}

/** A T2I-Adapter's key of the original program as diffusers': there all residual blocks stand in one list, two a level. */
export function t2iAdapterKey(key: string, light: boolean): string | undefined {
  if (key.startsWith('conv_in.')) return `adapter.${key}`
  if (light) return key.startsWith('body.') ? `adapter.${key.replace(/^(body\.\d+\.)body\./, '$1resnets.')}` : undefined
  const match = /^body\.(\d+)\.(in_conv|block[12])\.(\w+)$/.exec(key)
  if (!match) return undefined
  const [level, block] = [Math.floor(Number(match[1]) / 2), Number(match[1]) % 2]
  return match[2] === 'in_conv'
    ? `adapter.body.${level}.in_conv.${match[3]}`
    : `adapter.body.${level}.resnets.${block}.${match[2]}.${match[3]}`
}
