import { recipeOf } from '../recipe.ts'
import { t5Type } from '../tasks/t5/t5.ts'

/** The third text encoder of `stickers-mmdit`, trained on texts alone: an encoder and a decoder that tell what was cut out of them. */
export const stickersT5 = recipeOf(t5Type, {
  summary: 'T5 of captions and names of stickers with its own tokenizer, for stickers-mmdit',
  config: {
    data: { kind: 'scenes' },
    tokenizer: { size: 1500, max_length: 24 },
    // As wide as two text encoders of stickers-clip side by side, which a transformer of Stable Diffusion 3 reads with it.
    network: { d_model: 384, d_kv: 32, num_heads: 4, d_ff: 384, num_layers: 3, num_decoder_layers: 1 },
    noise_density: 0.3,
    mean_noise_span_length: 2,
  },
  training: {
    train_batch_size: 32,
    num_processes: 2,
    optimizer: 'muon',
    learning_rate: 2e-3,
    ema_decay: 0.99,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 20,
    max_train_steps: 280,
    lr_decay_steps: 50,
    checkpointing_steps: 100,
    validation_steps: 100,
  },
})
