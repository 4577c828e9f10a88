import { recipeOf } from '../recipe.ts'
import { sr3Type } from '../tasks/sr3/job.ts'

const levels = 4

/** SR3 in small: a diffusion model that enlarges 64×64 stickers to 256×256, without a text, learnt on parts of 64 pixels. */
export const stickersSr3 = recipeOf(sr3Type, {
  summary: 'enlarges 64×64 stickers to 256×256 by diffusion: SR3',
  config: {
    data: { kind: 'scenes' },
    resolution: 256,
    scale: 4,
    crop: 64,
    unet: {
      block_out_channels: [24, 48, 96, 128],
      layers_per_block: 1,
      norm_num_groups: 8,
      down_block_types: Array<string>(levels).fill('DownBlock2D'),
      up_block_types: Array<string>(levels).fill('UpBlock2D'),
    },
  },
  training: {
    train_batch_size: 8,
    optimizer: 'muon',
    learning_rate: 1e-3,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 30,
    max_train_steps: 1900,
    lr_decay_steps: 500,
    ema_decay: 0.995,
    checkpointing_steps: 200,
    validation_steps: 1000,
    threads: 1,
  },
})
