import { recipeOf } from '../recipe.ts'
import { controlnetType } from '../tasks/controlnet/job.ts'
import type { Condition } from '../tasks/controlnet/schema.ts'
import { scenes } from './stickers-t2i.ts'

/** A ControlNet for the bundled text-to-image model, of the scenes that it learnt from. */
const stickersControlNet = (condition: Condition, summary: string) =>
  recipeOf(controlnetType, {
    summary,
    config: {
      data: scenes,
      resolution: 64,
      condition,
      conditioning_embedding_out_channels: [16, 32, 64],
      // Where objects stand is decided in much noise.
      timestep_bias: [{ begin: 600, end: 1000, multiplier: 3 }],
      pool: 8192,
    },
    training: {
      train_batch_size: 16,
      learning_rate: 5e-4,
      ema_decay: 0.99,
      lr_scheduler: 'warmup_stable_decay',
      lr_warmup_steps: 50,
      max_train_steps: 4000,
      lr_decay_steps: 1000,
      checkpointing_steps: 100,
      validation_steps: 200,
    },
  })

export const stickersControlnetOutline = stickersControlNet(
  'outline',
  'stickers-t2i by outlines: a ControlNet, after stickers-t2i',
)
export const stickersControlnetLayout = stickersControlNet(
  'layout',
  'stickers-t2i by boxes in the colours of their objects: a ControlNet, after stickers-t2i',
)
