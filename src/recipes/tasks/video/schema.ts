import { z } from 'zod'
import { rectifiedFlowSchema } from '../rectified-flow/schema.ts'
import { filmsSchema, shapeFields } from './fields.ts'

/** A rectified flow on latents of films, conditioned on text, a frame rate and given frames. */
export const videoFlowSchema = z.object({
  data: filmsSchema.prefault({}),
  /** Folders or names of what is trained before: the autoencoder, the CLIP whose text encoder reads captions, the T5. */
  vae: z.string().default('stickers-video-vae'),
  clip: z.string().default('stickers-clip'),
  t5: z.string().default('stickers-t5'),
  clip_tokens: rectifiedFlowSchema.shape.clip_tokens,
  /** Whether CLIP's text encoder goes on learning: it has read no captions of motion. */
  train_text_encoder: z.boolean().default(true),
  /** `VideoDiTModel`'s fields; those that the other parts decide are filled in. */
  transformer: z.record(z.string(), z.unknown()).default({}),
  scheduler: rectifiedFlowSchema.shape.scheduler,
  time_density: rectifiedFlowSchema.shape.time_density,
  weighting_scheme: rectifiedFlowSchema.shape.weighting_scheme,
  /** Sizes and lengths of films that are trained together, each so often as its weight; of one frame: pictures. The first is what a run makes unless it is told. */
  buckets: z
    .array(
      z.strictObject({
        ...shapeFields,
        weight: z.number().positive().default(1),
        /** Films whose latents are kept: each is seen again and again, with other captions, noise and times. */
        pool: z.int().positive().default(2048),
      }),
    )
    .min(1)
    .default([{ width: 64, height: 64, frames: 17, rate: 8, weight: 1, pool: 2048 }]),
  /** The share of captions that are left out, for guidance; and of each text encoder's part by itself. */
  condition_dropout: z.number().min(0).max(1).default(0.1),
  encoder_dropout: z.number().min(0).lt(1).default(0.1),
  /** How often a film's first latent frame is given; its first and last; and so many of its first as are drawn (Zheng et al. 2024, section 3.3). */
  given: z
    .strictObject({
      first: z.number().min(0).max(1).default(0.2),
      ends: z.number().min(0).max(1).default(0.1),
      start: z.number().min(0).max(1).default(0.1),
    })
    .prefault({}),
  /** What strips of samples show. */
  validation_prompts: z
    .array(z.string())
    .min(1)
    .default([
      'a fox moves left slowly over a teal background',
      'a rocket moves up fast on black',
      'a star appears on a purple background',
      'a frog goes right and a cat the other way on pink',
    ]),
})
export type VideoFlow = z.infer<typeof videoFlowSchema>
