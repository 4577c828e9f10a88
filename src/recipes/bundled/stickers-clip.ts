import { recipeOf } from '../recipe.ts'
import { clipType } from '../tasks/clip.ts'

const text = {
  num_hidden_layers: 3,
  hidden_size: 192,
  intermediate_size: 768,
  num_attention_heads: 6,
  hidden_act: 'quick_gelu',
}
const vision = {
  num_hidden_layers: 4,
  hidden_size: 128,
  intermediate_size: 512,
  num_attention_heads: 4,
  hidden_act: 'quick_gelu',
  patch_size: 8,
}

/** The second part of the bundled text-to-image model: its text encoder reads the captions, its picture encoder ranks pictures. */
export const stickersClip = recipeOf(clipType, {
  summary: 'CLIP of 64×64 sticker scenes with its own tokenizer, for stickers-t2i',
  config: {
    data: { kind: 'scenes' },
    resolution: 64,
    text,
    vision,
    projection_dim: 128,
  },
  training: {
    train_batch_size: 64,
    lr_scheduler: 'linear',
    max_train_steps: 1400,
    checkpointing_steps: 250,
    validation_steps: 250,
  },
})
