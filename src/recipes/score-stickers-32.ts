import { recipeOf } from './recipe.ts'
import { scoreKind } from './score.ts'

/** The bundled score SDE: faces, hearts and cats as those of ddpm-faces-32, in continuous time. */
export const scoreStickers32 = recipeOf(scoreKind, {
  summary: 'variance-preserving score SDE on 32×32 stickers',
  config: {
    data: {
      kind: 'stickers',
      styles: ['flat'],
      categories: ['Smileys & Emotion'],
      scale: [0.88, 0.94],
    },
    resolution: 32,
    unet: {
      in_channels: 3,
      out_channels: 3,
      block_out_channels: [32, 48, 64],
      layers_per_block: 1,
      down_block_types: ['DownBlock2D', 'DownBlock2D', 'AttnDownBlock2D'],
      up_block_types: ['AttnUpBlock2D', 'UpBlock2D', 'UpBlock2D'],
      attention_head_dim: 32,
      norm_num_groups: 16,
    },
    sde: { beta_min: 0.1, beta_max: 20, sampling_eps: 1e-3 },
    weighting: 'simple',
  },
  training: {
    train_batch_size: 16,
    max_train_steps: 2200,
    learning_rate: 1e-3,
    lr_warmup_steps: 100,
    ema_decay: 0.998,
    adam_weight_decay: 0,
    validation_steps: 1100,
    checkpointing_steps: 100,
  },
})
