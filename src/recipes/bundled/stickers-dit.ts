import { recipeOf } from '../recipe.ts'
import { classToImageType } from '../tasks/class-to-image/job.ts'

/** The stickers of the bundled text-to-image model, so that the two can be compared. */
const nouns = [
  ...['fox', 'cat', 'panda', 'penguin', 'frog', 'octopus', 'apple', 'slice of pizza', 'donut', 'mushroom', 'cactus', 'sunflower'],
  ...['star', 'rainbow', 'rocket', 'snowman'],
]

/** The bundled diffusion transformer: it learns the latents of `stickers-vae`, conditioned on a sticker and its style. */
export const stickersDit = recipeOf(classToImageType, {
  summary: 'class to image: a diffusion transformer of 64×64 stickers by sticker and style, after stickers-vae',
  config: {
    // A cell is two latents across, as a patch is.
    data: { kind: 'stickers', nouns, lattice: { cells: 8, sides: [7] } },
    resolution: 64,
    transformer: { num_layers: 6, num_attention_heads: 6, attention_head_dim: 32, patch_size: 2 },
    timestep_bias: [{ begin: 500, end: 1000, multiplier: 2 }],
    pool: 4096,
  },
  training: {
    train_batch_size: 32,
    max_train_steps: 1200,
    lr_decay_steps: 400,
    checkpointing_steps: 100,
    validation_steps: 1200,
    threads: 1,
  },
})
