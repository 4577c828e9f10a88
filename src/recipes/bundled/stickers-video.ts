import { recipeOf } from '../recipe.ts'
import { videoFlowType } from '../tasks/video/job.ts'

/** Sora's kind in small: films and pictures of stickers from captions of their motion, of several lengths, sizes and aspects at once. */
export const stickersVideo = recipeOf(videoFlowType, {
  summary:
    'text to video by a diffusion transformer of spacetime patches, after stickers-video-vae, stickers-clip and stickers-t5',
  config: {
    data: { styles: ['flat', 'noto'] },
    clip_tokens: 24,
    transformer: { num_layers: 6, num_attention_heads: 4, attention_head_dim: 48, patch_size: 2 },
    buckets: [
      { width: 64, height: 64, frames: 17, rate: 8, weight: 4, pool: 1536 },
      { width: 80, height: 48, frames: 17, rate: 8, weight: 1, pool: 256 },
      { width: 48, height: 80, frames: 17, rate: 8, weight: 1, pool: 256 },
      { width: 64, height: 64, frames: 9, rate: 4, weight: 1, pool: 256 },
      { width: 64, height: 64, frames: 1, rate: 8, weight: 2, pool: 1536 },
    ],
    scheduler: { shift: 3 },
  },
  training: {
    train_batch_size: 8,
    optimizer: 'muon',
    learning_rate: 2e-3,
    ema_decay: 0.997,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 50,
    max_train_steps: 3000,
    lr_decay_steps: 1000,
    checkpointing_steps: 100,
    validation_steps: 250,
  },
})
