import { z } from 'zod'
import { optimizerNames } from './optimizer.ts'
import { rateSchedules } from './rate.ts'
import type { TrainingOptions } from './train.ts'

const count = z.int().min(0)
const describe = <T extends z.ZodType>(schema: T, description: string): T => schema.meta({ description })

/** Options of every training run, under the names that diffusers' training scripts use. */
export const trainingSchema = z.object({
  output_dir: describe(z.string().optional(), 'folder for checkpoints, logs, previews and the finished model'),
  max_train_steps: describe(count.default(10_000), 'optimizer steps'),
  train_batch_size: describe(count.min(1).default(64), 'pictures in a batch'),
  gradient_accumulation_steps: describe(count.min(1).default(1), 'batches that are run one after another and averaged in a step'),
  num_processes: describe(
    count.min(1).default(1),
    'batches that are run in parallel and averaged in a step, each on its share of the cores',
  ),
  optimizer: describe(
    z.enum(optimizerNames).default('adamw'),
    'muon updates the matrices of hidden layers, and leaves the rest to adamw',
  ),
  learning_rate: describe(z.number().positive().default(2e-4), 'peak learning rate'),
  lr_scheduler: describe(z.enum(rateSchedules).default('cosine'), 'learning-rate schedule after the warm-up'),
  lr_decay_steps: describe(
    count.min(1).optional(),
    'steps of the decay at the end of warmup_stable_decay; by default a tenth of all',
  ),
  lr_warmup_steps: describe(count.default(500), 'steps over which the learning rate rises from 0'),
  adam_beta1: describe(z.number().min(0).lt(1).default(0.9), 'decay of the mean gradient'),
  adam_beta2: describe(z.number().min(0).lt(1).default(0.999), 'decay of the mean squared gradient'),
  adam_epsilon: describe(z.number().positive().default(1e-8), 'added to the root of the mean squared gradient'),
  adam_weight_decay: describe(z.number().min(0).default(0.01), 'weight decay'),
  max_grad_norm: describe(z.number().positive().default(1), 'gradients of a larger norm are scaled down to this norm'),
  ema_decay: describe(z.number().min(0).lt(1).default(0.9995), 'decay of the EMA weights; 0 for none'),
  seed: describe(z.int().default(0), 'decides initial weights, noise and the order of the data'),
  checkpointing_steps: describe(count.min(1).default(1000), 'steps between checkpoints'),
  checkpoints_total_limit: describe(count.min(1).default(2), 'checkpoints kept'),
  validation_steps: describe(count.min(1).default(1000), 'steps between grids of samples'),
  num_validation_images: describe(
    count.min(1).optional(),
    'pictures in a grid of samples; by default 64 for an unconditional model',
  ),
  validation_num_inference_steps: describe(
    count.min(1).optional(),
    'sampling steps of these pictures; by default 50 for an unconditional model',
  ),
  resume_from_checkpoint: describe(
    z
      .string()
      .regex(/^(latest|no|(.*[\\/])?checkpoint-\d+[\\/]?)$/, 'must be latest, no, or a checkpoint by name: checkpoint-400')
      .default('latest'),
    'resume from the newest complete checkpoint, if any (latest), from a named one (checkpoint-400), or start anew (no)',
  ),
  device: describe(z.enum(['cpu', 'webgpu', 'cuda']).default('cpu'), 'where to train'),
  threads: describe(count.default(0), 'processor cores to use; 0 for all'),
})

export type TrainingConfig = z.infer<typeof trainingSchema>

/** The flags as the trainer takes them. */
export function trainingOptions(config: TrainingConfig, dir: string): TrainingOptions {
  return {
    dir,
    steps: config.max_train_steps,
    seed: config.seed,
    learningRate: config.learning_rate,
    rateSchedule: config.lr_scheduler,
    warmup: config.lr_warmup_steps,
    ...(config.lr_decay_steps !== undefined && { decay: config.lr_decay_steps }),
    optimizer: config.optimizer,
    adam: {
      beta1: config.adam_beta1,
      beta2: config.adam_beta2,
      eps: config.adam_epsilon,
      weightDecay: config.adam_weight_decay,
    },
    maxGradNorm: config.max_grad_norm,
    accumulation: config.gradient_accumulation_steps,
    processes: config.num_processes,
    ema: config.ema_decay,
    checkpointEvery: config.checkpointing_steps,
    keepCheckpoints: config.checkpoints_total_limit,
    resume: { latest: true, no: false }[config.resume_from_checkpoint] ?? config.resume_from_checkpoint,
    device: config.device,
    threads: config.threads,
  }
}

/** Pictures of one step. */
export const picturesPerStep = (config: TrainingConfig): number =>
  config.train_batch_size * config.gradient_accumulation_steps * config.num_processes
