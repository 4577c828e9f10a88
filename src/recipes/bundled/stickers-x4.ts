import { recipeOf } from '../recipe.ts'
import { upscalerType } from '../tasks/upscaler/upscaler.ts'

/** SwinIR light (Liang et al. 2021, section 4.1), unchanged in size: what draws the bundled text-to-image model's pictures large. */
export const stickersX4 = recipeOf(upscalerType, {
  summary: 'enlarges 64×64 stickers to 256×256 by a transformer: SwinIR light, after stickers-vae',
  config: {
    data: { kind: 'scenes' },
    network: {
      _class_name: 'SwinIR',
      upscale: 4,
      img_size: 64,
      window_size: 8,
      depths: [6, 6, 6, 6],
      embed_dim: 60,
      num_heads: [6, 6, 6, 6],
      mlp_ratio: 2,
      upsampler: 'pixelshuffledirect',
    },
    sources: { bicubic: 1, drawn: 1, autoencoder: 2 },
  },
  training: {
    train_batch_size: 4,
    optimizer: 'muon',
    learning_rate: 2e-3,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 50,
    max_train_steps: 850,
    lr_decay_steps: 300,
    checkpointing_steps: 100,
    validation_steps: 200,
  },
})
