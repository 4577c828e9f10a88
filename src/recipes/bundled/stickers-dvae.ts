import { recipeOf } from '../recipe.ts'
import { discreteAutoencoderType } from '../tasks/discrete-autoencoder/job.ts'

/** The first stage of the bundled DALL·E: 64×64 scenes to 8×8 tokens and back. */
export const stickersDvae = recipeOf(discreteAutoencoderType, {
  summary: 'discrete autoencoder of 64×64 sticker scenes, for stickers-dalle',
  config: {
    data: { kind: 'scenes' },
    resolution: 64,
    dvae: { n_hid: 32, n_init: 128, n_blk_per_group: 1, vocab_size: 1024 },
    temperature: { from: 1, to: 1 / 16, steps: 2500 },
    kl: { from: 0, to: 6.6, steps: 1000 },
    diversity: 0.3,
  },
  training: {
    train_batch_size: 8,
    learning_rate: 1e-3,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 50,
    ema_decay: 0.998,
    max_train_steps: 3500,
    lr_decay_steps: 1000,
    checkpointing_steps: 250,
    validation_steps: 250,
  },
})
