import { recipeOf } from '../recipe.ts'
import { upscalerType } from '../tasks/upscaler/upscaler.ts'

/**
 * Real-ESRGAN's way (Wang et al. 2021, section 4.1) in small: stickers-x4-rrdb goes on against the U-Net discriminator, by its mean absolute
 * error, a perceptual distance and the discriminator's loss, 1 : 1 : 0.1. Stickers are sharp as they are: they are not sharpened.
 */
export const stickersX4Gan = recipeOf(upscalerType, {
  summary: 'stickers-x4-rrdb against a discriminator: sharper, and further from the truth',
  config: {
    data: { kind: 'scenes' },
    network: { _class_name: 'RRDBNet', num_in_ch: 3, num_out_ch: 3, scale: 4, num_feat: 32, num_block: 6, num_grow_ch: 16 },
    sources: { bicubic: 1, degraded: 2, autoencoder: 1 },
    pretrained: 'stickers-x4-rrdb',
    perceptual: { weight: 1 },
    adversarial: { num_feat: 16 },
  },
  training: {
    train_batch_size: 4,
    learning_rate: 2e-4,
    adam_beta2: 0.99,
    max_grad_norm: 10,
    ema_decay: 0.99,
    lr_warmup_steps: 20,
    lr_scheduler: 'constant',
    max_train_steps: 400,
    checkpointing_steps: 100,
    validation_steps: 100,
  },
})
