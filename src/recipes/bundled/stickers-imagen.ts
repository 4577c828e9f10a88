import { recipeOf } from '../recipe.ts'
import { imagenType } from '../tasks/imagen/job.ts'
import { scenes } from './stickers-t2i.ts'

const training = {
  optimizer: 'muon',
  lr_scheduler: 'warmup_stable_decay',
  lr_warmup_steps: 30,
  ema_decay: 0.995,
  checkpointing_steps: 100,
  threads: 1,
} as const

/** Imagen's first stage in small, with the blocks of DeepFloyd's: 32×32 pixels of the scenes of `stickers-t2i`, read by `stickers-t5`. */
const unet = {
  block_out_channels: [32, 96, 192],
  layers_per_block: 1,
  cross_attention_dim: 192,
  attention_head_dim: 32,
  addition_embed_type_num_heads: 4,
  norm_num_groups: 16,
}
const base = { data: scenes, resolution: 32, tokens: 24, unet } as const

/** An Efficient U-Net's fields, of few blocks at full size and text at the smallest. */
const efficient = (channels: readonly number[], layers: readonly number[]) => ({
  _class_name: 'EfficientUNet' as const,
  block_out_channels: channels,
  layers_per_block: layers,
  attention: channels.map((_, i) => (i === channels.length - 1 ? 'text' : 'none')),
  attention_head_dim: 32,
  addition_embed_type_num_heads: 4,
  norm_num_groups: 8,
})

export const stickersImagen = recipeOf(imagenType, {
  summary: 'Imagen, first stage: 32×32 stickers from captions that a frozen T5 reads, after stickers-t5',
  config: base,
  training: {
    ...training,
    train_batch_size: 16,
    learning_rate: 2e-3,
    max_train_steps: 1700,
    lr_decay_steps: 450,
    validation_steps: 850,
  },
})

/** The second stage learns whole pictures' halves: a part of 32 pixels of 64. */
export const stickersImagen64 = recipeOf(imagenType, {
  summary: 'Imagen, second stage: 32×32 stickers to 64×64 by their caption, after stickers-t5',
  config: {
    ...{ data: scenes, resolution: 64, low_resolution: 32, crop: 32, tokens: 24 },
    unet: efficient([32, 64, 128], [1, 2, 3]),
    augmentation: { kind: 'noise', most: 1 },
  },
  training: {
    ...training,
    train_batch_size: 16,
    learning_rate: 1e-3,
    max_train_steps: 3400,
    lr_decay_steps: 900,
    validation_steps: 2000,
  },
})

export const stickersImagen256 = recipeOf(imagenType, {
  summary: 'Imagen, third stage: 64×64 stickers to 256×256 by their caption, after stickers-t5',
  config: {
    ...{ data: scenes, resolution: 256, low_resolution: 64, crop: 64, tokens: 24, pool: 1024 },
    unet: efficient([24, 48, 96, 128], [1, 1, 2, 3]),
    augmentation: { kind: 'noise', most: 1 },
  },
  training: {
    ...training,
    train_batch_size: 8,
    learning_rate: 1e-3,
    max_train_steps: 2000,
    lr_decay_steps: 500,
    validation_steps: 1000,
  },
})

/** A reconstruction of Imagen 2: the first stage goes on with pictures that prompts name. */
export const stickersImagen2 = recipeOf(imagenType, {
  summary: 'a reconstruction of Imagen 2: prompts that mix text and pictures, 32×32 stickers, after stickers-imagen',
  config: {
    ...base,
    pretrained: 'stickers-imagen',
    tokens: 32,
    references: { image_size: 32, patch_size: 8, hidden_size: 192, num_layers: 2, num_attention_heads: 6 },
  },
  training: {
    ...training,
    train_batch_size: 16,
    learning_rate: 1e-3,
    max_train_steps: 1300,
    lr_decay_steps: 400,
    validation_steps: 650,
  },
})
