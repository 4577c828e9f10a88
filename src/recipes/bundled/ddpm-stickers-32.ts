import { recipeOf } from '../recipe.ts'
import { ddpmType } from '../tasks/ddpm.ts'

/** The bundled unconditional DDPM: faces, animals and food at 32×32, a network that one CPU core trains in an hour. */
export const ddpmStickers32 = recipeOf(ddpmType, {
  summary: 'unconditional DDPM on 32×32 stickers',
  config: {
    data: {
      kind: 'stickers',
      styles: ['flat'],
      categories: ['Smileys & Emotion', 'Animals & Nature', 'Food & Drink'],
    },
    resolution: 32,
    unet: {
      in_channels: 3,
      out_channels: 3,
      block_out_channels: [32, 64, 128],
      layers_per_block: 1,
      down_block_types: ['DownBlock2D', 'DownBlock2D', 'AttnDownBlock2D'],
      up_block_types: ['AttnUpBlock2D', 'UpBlock2D', 'UpBlock2D'],
      attention_head_dim: 32,
      norm_num_groups: 16,
    },
    scheduler: { num_train_timesteps: 1000, beta_schedule: 'squaredcos_cap_v2', prediction_type: 'v_prediction' },
  },
  training: {
    train_batch_size: 32,
    max_train_steps: 6000,
    learning_rate: 5e-4,
    lr_warmup_steps: 500,
    ema_decay: 0.999,
    adam_weight_decay: 0,
    validation_steps: 1000,
    checkpointing_steps: 500,
  },
})
