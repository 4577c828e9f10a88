import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { loadConfig } from '../../checkpoints/index.ts'
import { ddpmOptions, pictureSamplers } from '../../pipelines/index.ts'
import type { CompileOptions } from '../../runtime/program.ts'

/** How a model is sampled to be measured; a classifier takes `num` alone. */
export const evaluateOptions = z.object({
  num: z.int().min(2).default(1024).meta({
    description:
      'pictures in every set; at most 500 for a text-to-image model, 200 for upscalers and ControlNets, 100 films, 64 texts',
  }),
  steps: z
    .int()
    .positive()
    .optional()
    .meta({ description: 'sampling steps; by default 50, 200 with pc and sde, 20 for text-to-image models' }),
  seed: ddpmOptions.shape.seed,
  scheduler: z.enum(pictureSamplers).default('ddim').meta({ description: 'the sampler; pc, sde and ode for score SDEs only' }),
  batch: ddpmOptions.shape.batch.default(64),
  likelihood: z
    .int()
    .min(0)
    .default(64)
    .meta({ description: 'score SDE: pictures in each of two sets whose bits per dimension are measured; 0 for none' }),
  guidance: z
    .number()
    .min(1)
    .optional()
    .meta({ description: 'text-to-image model: guidance scale; by default chosen on validation captions' }),
  validation: z.int().min(2).max(500).default(250).meta({
    description: 'text-to-image model: number of validation captions on which guidance is chosen',
  }),
  candidates: z.int().min(0).max(512).default(0).meta({
    description:
      'text-to-image model: how often the picture that CLIP finds best is right, of 1, 2, 4 … up to so many; 0 leaves it out',
  }),
  rank: z
    .string()
    .default('stickers-clip')
    .meta({ description: 'text-to-image model: the folder or name of the CLIP that ranks candidates' }),
  judge: z
    .string()
    .default('stickers-judge')
    .meta({ description: 'text-to-image model: the folder or name of the judge of its pictures' }),
  controlnet: z
    .string()
    .optional()
    .meta({ description: 'ControlNet: a second one for the same model, to measure both at once, their residuals added' }),
  photographs: z.string().optional().meta({ description: 'upscalers: a folder of photographs that they are measured on too' }),
  classifier: z
    .string()
    .default('sticker-classifier-32')
    .meta({ description: 'the folder or name of the classifier whose features are compared' }),
})
export type EvaluateOptions = z.infer<typeof evaluateOptions>

export interface EvaluateContext {
  /** How errors and tables call the model. */
  readonly name: string
  readonly engine?: CompileOptions
  readonly signal?: AbortSignal
  readonly onStep?: (step: StageProgress) => void
}

/** How far a part of the work is. */
export interface StageProgress {
  readonly stage: string
  readonly done: number
  readonly total: number
}

/** As many steps as are usual, or as few as a pipeline's schedule has timesteps. */
export function stepsWithin(folder: string, usual: number): number {
  const dir = join(folder, 'scheduler')
  if (!existsSync(join(dir, 'scheduler_config.json'))) return usual
  const { num_train_timesteps: most } = loadConfig(dir, 'scheduler_config.json') as { num_train_timesteps?: unknown }
  return typeof most === 'number' ? Math.min(usual, most) : usual
}
