import { recipeOf } from '../recipe.ts'
import { dalleType } from '../tasks/dalle/job.ts'
import { stickersT2i } from './stickers-t2i.ts'

/** The second stage of the bundled DALL·E: the scenes of `stickers-t2i`, as tokens of `stickers-dvae` after captions in tokens of `stickers-clip`. */
export const stickersDalle = recipeOf(dalleType, {
  summary: 'DALL·E 1 of 64×64 sticker scenes: a transformer of captions and image tokens, after stickers-dvae and stickers-clip',
  config: {
    // A cell of its grid is a token across.
    data: stickersT2i.config.data as { kind: 'scenes' },
    resolution: 64,
    transformer: { dim: 256, depth: 8, heads: 8, dim_head: 32, text_seq_len: 32, conv_kernel: 5 },
  },
  training: {
    train_batch_size: 32,
    num_processes: 2,
    max_train_steps: 3000,
    lr_decay_steps: 900,
    checkpointing_steps: 250,
    validation_steps: 250,
  },
})
