import { recipeOf } from '../recipe.ts'
import { classifierType } from '../tasks/classifier.ts'

/** The bundled classifier: it names the icons and grounds of the bundled DDPM's pictures, and its features measure them. */
export const stickerClassifier32 = recipeOf(classifierType, {
  summary: 'classifier of 32×32 stickers, to measure models by',
  config: {
    data: {
      kind: 'stickers',
      styles: ['flat'],
      categories: ['Smileys & Emotion', 'Animals & Nature', 'Food & Drink'],
    },
    resolution: 32,
    network: { block_out_channels: [16, 32, 64, 128], layers_per_block: 1, norm_num_groups: 8 },
    heads: ['icon', 'ground'],
  },
  training: { max_train_steps: 1000 },
})
