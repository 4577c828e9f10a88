import { recipeOf } from '../recipe.ts'
import { rectifiedFlowType } from '../tasks/rectified-flow/job.ts'
import { scenes } from './stickers-t2i.ts'

/** Stable Diffusion 3 in small, beside `stickers-t2i`: the same scenes, latents and captions, another path and another network. */
export const stickersMmdit = recipeOf(rectifiedFlowType, {
  summary: 'text to image by a transformer of two streams and rectified flow, after stickers-vae, stickers-clip and stickers-t5',
  config: {
    data: scenes,
    resolution: 64,
    clip_tokens: 24,
    transformer: {
      num_layers: 6,
      num_attention_heads: 5,
      attention_head_dim: 32,
      patch_size: 2,
      caption_projection_dim: 160,
      qk_norm: 'rms_norm',
    },
    train_text_encoder: true,
    layout_weight: 0.1,
    patch_labels: { block: 3, weight: 0.1 },
    encoder_dropout: 0.1,
    scheduler: { shift: 3 },
    pool: 8192,
  },
  training: {
    train_batch_size: 32,
    optimizer: 'muon',
    learning_rate: 2e-3,
    ema_decay: 0.997,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 50,
    max_train_steps: 5000,
    lr_decay_steps: 1600,
    checkpointing_steps: 100,
    validation_steps: 250,
  },
})
