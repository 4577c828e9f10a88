import { z } from 'zod'
import { captionedFields, checkLayoutHead, checkOrder } from '../text-to-image/fields.ts'

/** A rectified flow on latents, conditioned on text. Fields of the network and the scheduler are diffusers'. */
export const rectifiedFlowSchema = z.object({
  ...captionedFields,
  /** Folders or names of the CLIPs whose text encoders read captions: one or two. It is the first that may go on learning. */
  clips: z.array(z.string()).min(1).max(2).default(['stickers-clip', 'stickers-clip']),
  /** Folder or name of the T5 whose encoder reads captions too; it stays as it is. */
  t5: z.string().default('stickers-t5'),
  /** Tokens of a caption that CLIP's text encoders read, start and end included; T5 reads as many as its tokenizer says. */
  clip_tokens: z.int().min(3).optional(),
  /** `SD3Transformer2DModel`'s fields; those that the other parts decide are filled in. */
  transformer: z.record(z.string(), z.unknown()),
  scheduler: z
    .strictObject({
      num_train_timesteps: z.int().positive().default(1000),
      /** How far times of training and of sampling lie towards the noise (Esser et al. 2024, eq. 23). */
      shift: z.number().positive().default(3),
    })
    .prefault({}),
  /**
   * From step `from` of the run on, until the next of the list takes over, times have this density before they are shifted (Esser et
   * al. 2024, section 3.1).
   */
  time_density: z
    .array(
      z.discriminatedUnion('kind', [
        z.strictObject({
          from: z.int().min(0).default(0),
          kind: z.literal('logit-normal'),
          mean: z.number().default(0),
          std: z.number().positive().default(1),
        }),
        z.strictObject({ from: z.int().min(0).default(0), kind: z.literal('uniform') }),
        z.strictObject({ from: z.int().min(0).default(0), kind: z.literal('mode'), scale: z.number().min(-1).max(1.75) }),
        z.strictObject({ from: z.int().min(0).default(0), kind: z.literal('cosmap') }),
      ]),
    )
    .min(1)
    .default([{ from: 0, kind: 'logit-normal', mean: 0, std: 1 }]),
  /** How errors at a time are weighed: as diffusers' `weighting_scheme`; times that are drawn by a density need none. */
  weighting_scheme: z.enum(['none', 'sigma_sqrt', 'cosmap']).default('none'),
  /** How often each text encoder's part is left out by itself, so that the model also works without it (Esser et al. 2024: 46.4 %). */
  encoder_dropout: z.number().min(0).lt(1).default(0.464),
  /** An auxiliary head behind a block of the transformer, which is not kept: it has to tell what stands at each patch. */
  patch_labels: z.strictObject({ block: z.int().min(0), weight: z.number().positive() }).optional(),
})
export type RectifiedFlow = z.infer<typeof rectifiedFlowSchema>

/** @throws ArgumentError for fields that don't go together */
export function checkRecipe(recipe: RectifiedFlow): void {
  checkLayoutHead(recipe)
  checkOrder('time_density', recipe.time_density)
}
