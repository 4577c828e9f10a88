import { recipeOf } from '../recipe.ts'
import { ddpmType } from '../tasks/ddpm.ts'

/** Faces, hearts and cats alone, large in the picture: fine-tuned from the model of faces, animals and food. */
export const ddpmFaces32 = recipeOf(ddpmType, {
  summary: 'unconditional DDPM on 32×32 faces, from ddpm-stickers-32',
  config: {
    data: { kind: 'stickers', styles: ['flat'], categories: ['Smileys & Emotion'], scale: [0.88, 0.94] },
    resolution: 32,
    pretrained: 'ddpm-stickers-32',
    scheduler: { num_train_timesteps: 1000, beta_schedule: 'squaredcos_cap_v2', prediction_type: 'v_prediction' },
  },
  training: {
    train_batch_size: 16,
    max_train_steps: 3000,
    learning_rate: 4e-4,
    lr_warmup_steps: 50,
    ema_decay: 0.998,
    adam_weight_decay: 0,
    validation_steps: 1500,
    checkpointing_steps: 100,
  },
})
