import { recipeOf } from '../recipe.ts'
import { unclipDecoderType } from '../tasks/unclip/decoder.ts'
import { scenes } from './stickers-t2i.ts'

/** DALL·E 2 in small, beside `stickers-t2i`, whose U-Net goes on: pictures from embeddings of `stickers-clip`, which a prior draws. */
export const stickersUnclip = recipeOf(unclipDecoderType, {
  summary: 'unCLIP: latents from embeddings of pictures, after stickers-t2i and stickers-unclip-prior',
  config: {
    data: scenes,
    resolution: 64,
    pretrained: 'stickers-t2i',
    prior: 'stickers-unclip-prior',
    timestep_bias: [{ begin: 500, end: 1000, multiplier: 2 }],
    snr_gamma: null,
  },
  training: {
    train_batch_size: 32,
    optimizer: 'muon',
    learning_rate: 1e-3,
    ema_decay: 0.99,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 20,
    max_train_steps: 2400,
    lr_decay_steps: 600,
    checkpointing_steps: 200,
    validation_steps: 500,
    threads: 1,
  },
})
