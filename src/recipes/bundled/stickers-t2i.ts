import type { z } from 'zod'
import type { scenesSchema } from '../data.ts'
import { recipeOf } from '../recipe.ts'
import { textToImageType } from '../tasks/text-to-image/job.ts'

/** As many different objects as two cores learn in some hours. */
const nouns = [
  ...['fox', 'cat', 'panda', 'penguin', 'frog', 'octopus', 'apple', 'slice of pizza', 'donut', 'mushroom', 'cactus', 'sunflower'],
  ...['star', 'rainbow', 'rocket', 'snowman'],
]

/** A cell is two latents across, as many as the denoiser takes together: an object learnt at one position is then known at all. */
export const scenes = {
  kind: 'scenes',
  nouns,
  sizes: 'large',
  lattice: { cells: 8, sides: [3, 4, 5, 7] },
} as const satisfies z.input<typeof scenesSchema>

/** The third part of the bundled text-to-image model: it learns the latents of `stickers-vae`, conditioned on the text encoder of `stickers-clip`. */
export const stickersT2i = recipeOf(textToImageType, {
  summary: 'text to image: latent diffusion of 64×64 sticker scenes, after stickers-vae and stickers-clip',
  config: {
    data: scenes,
    resolution: 64,
    unet: {
      block_out_channels: [48, 96, 192],
      layers_per_block: 1,
      down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],
      up_block_types: ['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'UpBlock2D'],
      // Heads of 32: the field is named after what early versions took it for.
      attention_head_dim: [2, 3, 6],
      norm_num_groups: 16,
    },
    train_text_encoder: true,
    layout_weight: 0.1,
    // Shapes first, then positions.
    timestep_bias: [
      { begin: 500, end: 1000, multiplier: 2 },
      { from: 1500, begin: 850, end: 1000, multiplier: 8 },
    ],
    snr_gamma: null,
    pool: 8192,
  },
  training: {
    train_batch_size: 48,
    num_processes: 2,
    optimizer: 'muon',
    learning_rate: 2e-3,
    ema_decay: 0.997,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 50,
    max_train_steps: 3400,
    lr_decay_steps: 1000,
    checkpointing_steps: 250,
    validation_steps: 250,
  },
})
