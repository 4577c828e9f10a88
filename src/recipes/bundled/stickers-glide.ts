import { recipeOf } from '../recipe.ts'
import { glideType } from '../tasks/glide/job.ts'
import { noisedClipType } from '../tasks/glide/noised-clip.ts'
import { scenes } from './stickers-t2i.ts'

const training = {
  optimizer: 'muon',
  lr_scheduler: 'warmup_stable_decay',
  lr_warmup_steps: 30,
  ema_decay: 0.995,
  checkpointing_steps: 100,
  threads: 1,
} as const

/** GLIDE in small, beside `stickers-t2i`: 64×64 pixels, and a text transformer that learns with them. */
export const stickersGlide = recipeOf(glideType, {
  summary: 'GLIDE: 64×64 pixels of sticker scenes from captions, with a text transformer of its own',
  config: {
    data: scenes,
    network: {
      ...{ num_channels: 32, num_res_blocks: 1, channel_mult: [1, 2, 3, 4], num_head_channels: 32 },
      ...{ attention_resolutions: [16, 8], text_ctx: 24, xf_width: 128, xf_layers: 3, xf_heads: 4 },
    },
  },
  training: {
    ...training,
    train_batch_size: 12,
    learning_rate: 2e-3,
    max_train_steps: 1300,
    lr_decay_steps: 400,
    validation_steps: 650,
  },
})

/** The same, going on with pictures of which a part is known. */
export const stickersGlideInpaint = recipeOf(glideType, {
  summary: 'GLIDE for in-painting, after stickers-glide',
  config: { data: scenes, pretrained: 'stickers-glide', inpaint: true },
  training: {
    ...training,
    train_batch_size: 12,
    learning_rate: 1e-3,
    max_train_steps: 400,
    lr_decay_steps: 150,
    validation_steps: 200,
  },
})

/** The CLIP that guides it: of pictures at every level of noise. */
export const stickersGlideClip = recipeOf(noisedClipType, {
  summary: "GLIDE's noised CLIP, which guides it, after stickers-glide and stickers-clip",
  config: {
    data: scenes,
    glide: 'stickers-glide',
    network: {
      ...{ patch_size: 8, n_embd: 128, n_head_state_text: 32, n_head_text: 4, n_xf_blocks_text: 2 },
      ...{ n_head_state_image: 32, n_head_image: 4, n_xf_blocks_image: 4 },
    },
  },
  training: { ...training, train_batch_size: 64, learning_rate: 1e-3, max_train_steps: 1200, lr_decay_steps: 400 },
})
