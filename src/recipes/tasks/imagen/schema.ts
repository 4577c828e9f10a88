import { z } from 'zod'
import { ArgumentError } from '../../../core/errors.ts'
import { scenesSchema } from '../../data.ts'
import { referencesSchema } from './references.ts'

/** One stage of a cascade from texts that a frozen T5 reads. Fields of the networks are diffusers'. */
export const imagenSchema = z.object({
  data: scenesSchema,
  /** Pixels a side of what the stage makes. */
  resolution: z.int().positive().default(16),
  /** Of a stage that enlarges: pixels a side of what it is given. */
  low_resolution: z.int().positive().optional(),
  /** Pixels a side of the parts of pictures that one step of such a stage sees; the whole picture unless given. */
  crop: z.int().positive().optional(),
  /** A T5, or a folder with `text_encoder/`, a T5, and `tokenizer/`: its folder or name. It does not learn. */
  text: z.string().default('stickers-t5'),
  /** Tokens that a text is cut or padded to. */
  tokens: z.int().positive().default(77),
  /** The network: a `UNet2DConditionModel`, with the blocks of DeepFloyd IF unless others are named, or an `EfficientUNet`. */
  unet: z.looseObject({ _class_name: z.enum(['UNet2DConditionModel', 'EfficientUNet']).default('UNet2DConditionModel') }),
  /** A trained stage of the same network to go on from, by its folder or name. */
  pretrained: z.string().optional(),
  /** Of a first stage: prompts name a picture beside the words, from which the style is taken (a reconstruction of Imagen 2). */
  references: referencesSchema.optional(),
  scheduler: z
    .strictObject({
      num_train_timesteps: z.int().positive().default(1000),
      prediction_type: z.enum(['epsilon', 'v_prediction']).default('v_prediction'),
    })
    .prefault({}),
  /** The share of captions that are left out, for guidance. */
  condition_dropout: z.number().min(0).max(1).default(0.1),
  /** What is done to the small picture so that the stage does as well on generated ones; noise of any level up to `most`, or blur. */
  augmentation: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('noise'), most: z.number().positive().max(1).default(1) }),
      z.strictObject({ kind: z.literal('blur'), share: z.number().min(0).max(1).default(0.5) }),
      z.strictObject({ kind: z.literal('none') }),
    ])
    .prefault({ kind: 'noise' }),
  /** How many scenes are learnt from. */
  pool: z.int().positive().default(8192),
  /** What grids of samples show, in place of the fixed prompts. */
  validation_prompts: z.array(z.string()).min(1).optional(),
})
export type Imagen = z.infer<typeof imagenSchema>

/** How many times a stage enlarges; undefined for the first. @throws ArgumentError for sizes that do not go together */
export function scaleOf({ resolution, low_resolution: low, crop, references }: Imagen): number | undefined {
  if (references && low !== undefined) throw new ArgumentError('references: only a first stage takes pictures that prompts name')
  if (low === undefined) {
    if (crop !== undefined) throw new ArgumentError('crop: the first stage makes whole pictures: leave it out')
    return undefined
  }
  const scale = resolution / low
  if (!Number.isInteger(scale) || scale < 2)
    throw new ArgumentError(`low_resolution: ${resolution} must be a multiple of it, twice as large at least; got ${low}`)
  if (crop !== undefined && (crop > resolution || crop % scale !== 0))
    throw new ArgumentError(`crop: ${crop} must be a multiple of the scale, ${scale}, and at most the resolution, ${resolution}`)
  return scale
}
