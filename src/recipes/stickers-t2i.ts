import { recipeOf } from './recipe.ts'
import { textToImageKind } from './text-to-image.ts'

/** The third part of the bundled text-to-image model: it learns the latents of `stickers-vae`, told by `stickers-clip`. */
export const stickersT2i = recipeOf(textToImageKind, {
  summary: 'text to image: latent diffusion of 64×64 sticker scenes, after stickers-vae and stickers-clip',
  config: {
    data: { kind: 'scenes' },
    resolution: 64,
    unet: {
      block_out_channels: [96, 192, 192],
      layers_per_block: 1,
      down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'],
      up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
      attention_head_dim: [3, 6, 6],
    },
  },
  training: { train_batch_size: 64, max_train_steps: 8000, checkpointing_steps: 250, validation_steps: 500 },
})
