import { ArgumentError } from '../../../core/errors.ts'
import { croppedPatches, type MmditConfig, mmditConfig } from '../../../models/mmdit/index.ts'
import { Params } from '../../../nn/params.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { trainedModel } from '../../stored.ts'
import { storedAutoencoder, storedT5, storedTextEncoder } from '../text-to-image/pipeline-folder.ts'
import type { RectifiedFlow } from './schema.ts'

/** The parts that are trained before, and the transformer's configuration. */
export function openParts(recipe: RectifiedFlow) {
  const vae = storedAutoencoder(trainedModel(recipe.vae))
  const tokenizers = { clips: recipe.clips.map(trainedModel), t5: trainedModel(recipe.t5) }
  const clips = tokenizers.clips.map((dir) => {
    const text = storedTextEncoder(dir, { projected: true })
    const { clip_tokens: tokens = text.tokenizer.maxLength } = recipe
    if (tokens > text.config.max_position_embeddings)
      throw new ArgumentError(`clip_tokens: ${tokens}, and ${dir} has ${text.config.max_position_embeddings} places`)
    return { ...text, tokenizer: text.tokenizer.padded(tokens) }
  })
  const t5 = storedT5(tokenizers.t5)
  const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0)
  const width = sum(clips.map(({ config }) => config.hidden_size))
  if (width > t5.config.d_model)
    throw new ArgumentError(`clips: their states are ${width} wide side by side, and those of ${recipe.t5} ${t5.config.d_model}`)
  const { latent_channels: channels, block_out_channels: levels } = vae.config
  const side = recipe.resolution / 2 ** (levels.length - 1)
  const { patch_size: patch = 2, num_attention_heads: heads = 4, attention_head_dim: head = 32 } = recipe.transformer
  const network = mmditConfig(
    {
      ...{ in_channels: channels, out_channels: channels, pos_embed_max_size: Math.ceil(side / Number(patch)) },
      ...{ num_attention_heads: heads, attention_head_dim: head, caption_projection_dim: Number(heads) * Number(head) },
      ...recipe.transformer,
      sample_size: side,
      joint_attention_dim: t5.config.d_model,
      pooled_projection_dim: sum(clips.map(({ config }) => config.projection_dim)),
    },
    'transformer',
  )
  return { vae, clips, t5, tokenizers, network, table: positionTable(network) }
}

/** The table of positions by its key: fixed, and not learnt. */
function positionTable(network: MmditConfig) {
  const p = new Params()
  croppedPatches(p.at('pos_embed'), network, network.caption_projection_dim, network.pos_embed_max_size)
  const key = 'pos_embed.pos_embed'
  return new Map([[key, p.initialise(new Generator(0)).get(key) as NdArray]])
}
