import { recipeOf } from '../recipe.ts'
import { vaeType } from '../tasks/autoencoder/autoencoder.ts'

/** The first part of the bundled text-to-image model: 64×64 scenes to latents of 16×16×8 and back. */
export const stickersVae = recipeOf(vaeType, {
  summary: 'autoencoder of 64×64 sticker scenes, for stickers-t2i',
  config: {
    data: { kind: 'scenes' },
    resolution: 64,
    vae: {
      block_out_channels: [24, 48, 96],
      down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D', 'DownEncoderBlock2D'],
      up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D'],
      layers_per_block: 1,
      latent_channels: 8,
      norm_num_groups: 1,
    },
    kl_weight: 1e-3,
    perceptual: { classifier: 'sticker-classifier-32', weight: 0.3 },
    locality: { weight: 0.5 },
    adversarial: { channels: 32, num_layers: 2, start: 5001, weight: 0.25 },
  },
  training: {
    train_batch_size: 2,
    num_processes: 2,
    optimizer: 'muon',
    learning_rate: 3e-3,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 50,
    max_train_steps: 5500,
    lr_decay_steps: 1500,
    checkpointing_steps: 250,
    validation_steps: 500,
  },
})
