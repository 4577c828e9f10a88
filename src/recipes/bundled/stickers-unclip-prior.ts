import { recipeOf } from '../recipe.ts'
import { unclipPriorType } from '../tasks/unclip/prior.ts'
import { scenes } from './stickers-t2i.ts'

/** DALL·E 2's diffusion prior in small: embeddings of `stickers-clip` for the captions of `stickers-t2i`. */
export const stickersUnclipPrior = recipeOf(unclipPriorType, {
  summary: "diffusion prior: embeddings of stickers' pictures from captions, after stickers-clip",
  config: {
    data: scenes,
    prior: { num_layers: 4, num_attention_heads: 6, attention_head_dim: 32 },
  },
  training: {
    train_batch_size: 64,
    optimizer: 'muon',
    learning_rate: 2e-3,
    ema_decay: 0.99,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 20,
    max_train_steps: 500,
    lr_decay_steps: 150,
    checkpointing_steps: 100,
    validation_steps: 100,
    threads: 1,
  },
})
