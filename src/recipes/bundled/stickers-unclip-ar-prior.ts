import { recipeOf } from '../recipe.ts'
import { unclipArPriorType } from '../tasks/unclip/ar-prior.ts'
import { scenes } from './stickers-t2i.ts'

/** DALL·E 2's autoregressive prior in small, beside `stickers-unclip-prior`: the same embeddings in 24 components, which hold 99 % of them. */
export const stickersUnclipArPrior = recipeOf(unclipArPriorType, {
  summary: "autoregressive prior: embeddings of stickers' pictures from captions, after stickers-clip",
  config: {
    data: scenes,
    prior: {
      ...{ num_layers: 4, num_attention_heads: 6, attention_head_dim: 32 },
      ...{ components: 24, buckets: 64, likeness_buckets: 16 },
    },
  },
  training: {
    train_batch_size: 48,
    optimizer: 'muon',
    learning_rate: 2e-3,
    ema_decay: 0.99,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 20,
    max_train_steps: 600,
    lr_decay_steps: 200,
    checkpointing_steps: 100,
    validation_steps: 100,
    threads: 1,
  },
})
