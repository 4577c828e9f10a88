import { recipeOf } from '../recipe.ts'
import { upscalerType } from '../tasks/upscaler/upscaler.ts'

/** Real-ESRGAN's generator in small, by its mean absolute error alone (RealESRNet; Wang et al. 2021, section 4.1): where stickers-x4-gan starts. */
export const stickersX4Rrdb = recipeOf(upscalerType, {
  summary: 'enlarges and restores stickers by a convolutional network: RRDBNet of 6 blocks, after stickers-vae',
  config: {
    data: { kind: 'scenes' },
    network: { _class_name: 'RRDBNet', num_in_ch: 3, num_out_ch: 3, scale: 4, num_feat: 32, num_block: 6, num_grow_ch: 16 },
    sources: { bicubic: 1, degraded: 2, autoencoder: 1 },
  },
  training: {
    train_batch_size: 4,
    optimizer: 'muon',
    learning_rate: 2e-3,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 50,
    max_train_steps: 1000,
    lr_decay_steps: 350,
    checkpointing_steps: 100,
    validation_steps: 200,
  },
})
