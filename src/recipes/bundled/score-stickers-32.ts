import { recipeOf } from '../recipe.ts'
import { scoreType } from '../tasks/score.ts'

/** The bundled score SDE: what ddpm-faces-32 knows, at every time of an SDE rather than at a thousand. */
export const scoreStickers32 = recipeOf(scoreType, {
  summary: 'variance-preserving score SDE on 32×32 stickers',
  config: {
    data: {
      kind: 'stickers',
      styles: ['flat'],
      categories: ['Smileys & Emotion'],
      scale: [0.88, 0.94],
    },
    resolution: 32,
    pretrained: 'ddpm-faces-32',
    sde: { beta_min: 0.1, beta_max: 20, sampling_eps: 1e-3 },
    weighting: 'simple',
    prediction_type: 'v_prediction',
  },
  training: {
    train_batch_size: 16,
    max_train_steps: 1600,
    learning_rate: 4e-4,
    lr_warmup_steps: 50,
    ema_decay: 0.998,
    adam_weight_decay: 0,
    validation_steps: 1600,
    checkpointing_steps: 100,
  },
})
