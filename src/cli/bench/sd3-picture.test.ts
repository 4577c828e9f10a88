import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { loadConfig } from '../../checkpoints/index.ts'
import { modelFolder } from '../../pipelines/index.ts'
import { sd3Picture, writeSd3Folder } from './sd3-picture.ts'

test('a folder of random weights holds every part, and each form makes a picture of it', async () => {
  const words = loadConfig(modelFolder('stickers-clip')).text_config as { vocab_size: number }
  const clip = {
    ...{ vocab_size: words.vocab_size, hidden_size: 8, intermediate_size: 16, num_hidden_layers: 2, num_attention_heads: 2 },
    ...{ projection_dim: 8, hidden_act: 'gelu' },
  }
  const dir = writeSd3Folder(join(temporaryFolder(), 'sd3'), {
    transformer: {
      ...{ num_layers: 2, num_attention_heads: 2, attention_head_dim: 8, caption_projection_dim: 16, pos_embed_max_size: 8 },
      ...{ joint_attention_dim: 32, pooled_projection_dim: 16, in_channels: 16, out_channels: 16, sample_size: 8 },
    },
    vae: {
      ...{ latent_channels: 16, block_out_channels: [4, 8], layers_per_block: 1, norm_num_groups: 2 },
      ...{ scaling_factor: 1.5, shift_factor: 0.06, use_quant_conv: false, use_post_quant_conv: false },
      down_block_types: Array(2).fill('DownEncoderBlock2D'),
      up_block_types: Array(2).fill('UpDecoderBlock2D'),
    },
    text_encoder: clip,
    text_encoder_2: clip,
    text_encoder_3: {
      vocab_size: 40,
      d_model: 32,
      d_kv: 8,
      d_ff: 32,
      num_layers: 2,
      num_heads: 2,
      feed_forward_proj: 'gated-gelu',
    },
  })
  for (const form of ['float', 'int8'] as const) expect((await sd3Picture(dir, form, 16)).ms).toBeGreaterThan(0)
})
