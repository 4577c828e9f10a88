import { z } from 'zod'
import { ArgumentError } from '../../../core/errors.ts'
import { scenesSchema } from '../../data.ts'

/** What recipes of text-to-image models share, whatever their denoiser is. */
export const captionedFields = {
  data: scenesSchema,
  resolution: z.int().positive().default(64),
  /** Folder or name of the autoencoder, which is trained before. */
  vae: z.string().default('stickers-vae'),
  /** Whether the text encoder goes on learning, with the denoiser: Rombach et al. 2022, section 3.3. */
  train_text_encoder: z.boolean().default(false),
  /**
   * Weight of an auxiliary head, which is not kept: it has to tell from a caption's hidden states where objects stand. By the denoiser's error
   * alone the text encoder learnt no order of objects in 600 steps.
   */
  layout_weight: z.number().positive().optional(),
  /** The share of captions that are left out, for guidance. */
  condition_dropout: z.number().min(0).max(1).default(0.1),
  /** Scenes whose latents are kept: each is seen again and again, with other captions, noise and timesteps. */
  pool: z.int().positive().default(65_536),
  /** What grids of samples show, in place of the fixed prompts. */
  validation_prompts: z.array(z.string()).min(1).optional(),
}

/** @throws ArgumentError for a head that nothing learns from */
export function checkLayoutHead(recipe: {
  readonly layout_weight?: number | undefined
  readonly train_text_encoder: boolean
}): void {
  if (recipe.layout_weight !== undefined && !recipe.train_text_encoder)
    throw new ArgumentError('layout_weight: only a text encoder that learns can learn layouts; add train_text_encoder')
}

interface Stage {
  readonly from: number
}

/** @throws ArgumentError for stages of a run that are not in the order of their steps */
export function checkOrder(field: string, stages: readonly Stage[]): void {
  for (const [i, { from }] of stages.entries()) {
    const before = stages[i - 1]
    if (before && before.from >= from)
      throw new ArgumentError(`${field}: from ${before.from}, then from ${from}; put them in the order of their steps`)
  }
}

/** The stage that a step of the run belongs to. */
export const stageAt = <S extends Stage>(stages: readonly S[], step: number): S | undefined =>
  stages.findLast(({ from }) => from <= step)
