import { recipeOf } from '../recipe.ts'
import { videoVaeType } from '../tasks/video/autoencoder.ts'

/** The first part of `stickers-video`: films of 17 frames of 64×64 to 5 latent frames of 16×16×8 and back. */
export const stickersVideoVae = recipeOf(videoVaeType, {
  summary: 'autoencoder over space and time of 64×64 films of stickers, for stickers-video',
  config: {
    data: { styles: ['flat', 'noto'] },
    ...{ width: 64, height: 64, frames: 17, rate: 8 },
    vae: { block_out_channels: [16, 32, 64], layers_per_block: 1, latent_channels: 8 },
    perceptual: { classifier: 'sticker-classifier-32', weight: 0.3 },
  },
  training: {
    train_batch_size: 1,
    optimizer: 'muon',
    learning_rate: 3e-3,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 50,
    max_train_steps: 4000,
    lr_decay_steps: 1200,
    checkpointing_steps: 200,
    validation_steps: 400,
  },
})
