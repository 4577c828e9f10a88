import type { Weights } from '../runtime/weights.ts'
import { FolderError } from './errors.ts'
import { openClipKey } from './single-file-keys.ts'
import { columns, count, rows, third, transposed, type Value } from './single-file-values.ts'

/** Keys of the side of the pictures beside its layers, with transformers'. */
const visual: Readonly<Record<string, string>> = {
  'visual.class_embedding': 'vision_model.embeddings.class_embedding',
  'visual.positional_embedding': 'vision_model.embeddings.position_embedding.weight',
  'visual.conv1.weight': 'vision_model.embeddings.patch_embedding.weight',
  'visual.ln_pre.weight': 'vision_model.pre_layrnorm.weight',
  'visual.ln_pre.bias': 'vision_model.pre_layrnorm.bias',
  'visual.ln_post.weight': 'vision_model.post_layernorm.weight',
  'visual.ln_post.bias': 'vision_model.post_layernorm.bias',
  'visual.proj': 'visual_projection.weight',
}

/** Numbers and masks that files hold beside the weights. */
const buffers = /^(input_resolution|context_length|vocab_size|attn_mask)$/

/** A key with transformers' name; `{qkv}` stands for the three that lie in one tensor. */
function keyOf(key: string): string | undefined {
  if (key === 'logit_scale') return key
  if (!key.startsWith('visual.')) return openClipKey(key)
  if (Object.hasOwn(visual, key)) return visual[key]
  return openClipKey(key.slice('visual.'.length))?.replace(/^text_model\./, 'vision_model.')
}

/** Heads are 64 wide in all of OpenAI's. */
const HEAD = 64

/**
 * A state dict of openai/CLIP with a vision transformer, as transformers' `CLIPModel` has it, and the config that the shapes tell.
 *
 * @throws FolderError for a ResNet, or where it is no CLIP
 */
export function fromOpenAIClip(weights: Weights, place: string): { config: Record<string, unknown>; weights: Weights } {
  if (weights.has('visual.layer1.0.conv1.weight'))
    throw new FolderError(place, 'is a CLIP with a ResNet; those with a vision transformer (ViT) are known')
  if (!weights.has('visual.proj') || !weights.has('text_projection'))
    throw new FolderError(
      place,
      "is no CLIP: expected OpenAI's keys visual.proj and text_projection, or a folder of transformers' CLIPModel",
    )
  const found = new Map<string, Value>()
  for (const [key, value] of weights) {
    if (buffers.test(key)) continue
    const name = keyOf(key) ?? key
    if (/projection\.weight$/.test(name)) found.set(name, transposed(value))
    else if (name.includes('{qkv}'))
      for (const [i, letter] of ['q', 'k', 'v'].entries()) found.set(name.replace('{qkv}', letter), third(value, i))
    else found.set(name, value)
  }
  const side = (prefix: string, width: number) => ({
    hidden_size: width,
    intermediate_size: rows(weights, `${prefix}transformer.resblocks.0.mlp.c_fc.weight`),
    num_hidden_layers: count(
      weights,
      prefix === '' ? /^transformer\.resblocks\.(\d+)\./ : /^visual\.transformer\.resblocks\.(\d+)\./,
    ),
    num_attention_heads: Math.max(1, Math.floor(width / HEAD)),
    hidden_act: 'quick_gelu',
  })
  const patch = weights.get('visual.conv1.weight')?.shape[3] as number
  const config = {
    model_type: 'clip',
    projection_dim: columns(weights, 'text_projection'),
    text_config: {
      ...side('', rows(weights, 'ln_final.weight')),
      vocab_size: rows(weights, 'token_embedding.weight'),
      max_position_embeddings: rows(weights, 'positional_embedding'),
      // The greatest number of a text is its end: what 2 stands for.
      eos_token_id: 2,
    },
    vision_config: {
      ...side('visual.', rows(weights, 'visual.conv1.weight')),
      patch_size: patch,
      image_size: patch * Math.round(Math.sqrt(rows(weights, 'visual.positional_embedding') - 1)),
    },
  }
  return { config, weights: found }
}
