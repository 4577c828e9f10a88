import { join } from 'node:path'
import { loadConfig } from '../../../checkpoints/index.ts'
import { unet2dConditionConfig } from '../../../models/unet-condition/index.ts'
import { trainedModel } from '../../stored.ts'
import { storedAutoencoder, storedTextEncoder } from './pipeline-folder.ts'
import type { TextToImage } from './schema.ts'

/** The parts that are trained before, and the denoiser's configuration, with its folder where it is a `pretrained` pipeline's. */
export function openParts(recipe: TextToImage) {
  const vae = storedAutoencoder(trainedModel(recipe.vae))
  const before = recipe.pretrained === undefined ? undefined : trainedModel(recipe.pretrained)
  const textDir = before ? join(before, 'text_encoder') : trainedModel(recipe.clip)
  const tokenizerDir = before ? join(before, 'tokenizer') : textDir
  const text = storedTextEncoder(textDir, { tokenizer: tokenizerDir })
  const unetDir = before && join(before, 'unet')
  const network = unet2dConditionConfig(
    {
      in_channels: vae.config.latent_channels,
      out_channels: vae.config.latent_channels,
      ...(unetDir ? loadConfig(unetDir) : recipe.unet),
      sample_size: recipe.resolution / 2 ** (vae.config.block_out_channels.length - 1),
      cross_attention_dim: text.config.hidden_size,
    },
    unetDir ?? 'unet',
  )
  return { vae, text, tokenizerDir, network, unetDir }
}

export type OpenedParts = ReturnType<typeof openParts>
