import { recipeOf } from '../recipe.ts'
import { judgeType } from '../tasks/judge.ts'

/** The judge of the bundled text-to-image model: it learns from rendered scenes, apart from all that the model is made of. */
export const stickersJudge = recipeOf(judgeType, {
  summary: 'detector of what 64×64 sticker scenes show, to judge stickers-t2i by',
  config: { data: { kind: 'scenes' }, resolution: 64 },
  training: {
    train_batch_size: 32,
    lr_scheduler: 'linear',
    max_train_steps: 1400,
    checkpointing_steps: 250,
    validation_steps: 350,
  },
})
