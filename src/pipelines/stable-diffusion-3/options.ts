import { z } from 'zod'
import { NdArray } from '../../runtime/ndarray.ts'
import { seedOption } from '../options.ts'

const count = z.int().positive()
const share = z.number().min(0).max(1)
const picture = z.instanceof(NdArray)
/** No flag comes of these by itself. */
const apart = { apart: true } as const

/** What a run takes: types, flags and their help come of it. Where nothing is given, diffusers' pipeline decides. */
export const options = z.object({
  prompt: z.string().meta({ description: 'what the picture shows' }),
  negative: z.string().optional().meta({ description: 'what it does not show' }),
  prompt2: z.string().optional().meta({ description: 'what the second text encoder reads; the prompt unless given' }),
  negative2: z.string().optional().meta({ description: 'the negative prompt of the second text encoder' }),
  prompt3: z.string().optional().meta({ description: 'what the third text encoder (T5) reads; the prompt unless given' }),
  negative3: z.string().optional().meta({ description: 'the negative prompt of the third text encoder' }),
  maxLength: count
    .max(512)
    .optional()
    .meta({ description: 'tokens that T5 reads; 256, or as many as its tokenizer says, unless given' }),
  clipSkip: z.int().min(0).optional().meta({ description: "layers of the text encoder left out at the prompt's end" }),
  steps: count.optional().meta({ description: "sampling steps; as many as the model's own pipeline takes unless given" }),
  guidance: z.number().default(7).meta({ description: 'how strongly the prompt guides; 1 or less is not at all' }),
  skipLayers: z.array(z.int().min(0)).optional().meta({
    description: 'blocks whose absence the picture is guided away from, by number; 7 8 9 for Stable Diffusion 3.5 medium',
  }),
  skipScale: z.number().default(2.8).meta({ description: 'how strongly' }),
  skipStart: share.default(0.01).meta({ description: 'the share of the steps from which' }),
  skipStop: share.default(0.2).meta({ description: 'the share of the steps until which' }),
  seed: seedOption,
  width: count.optional().meta({ description: "in pixels; the model's own unless given" }),
  height: count.optional().meta({ description: 'in pixels' }),
  num: count.default(1).meta({ description: 'how many pictures, of the seeds seed, seed + 1, …' }),
  scheduler: z
    .union([z.string(), z.looseObject({ _class_name: z.string() })])
    .optional()
    .meta({ description: "the sampler by name or class, or a scheduler_config.json; the model's own unless given" }),
  mu: z
    .number()
    .optional()
    .meta({ description: 'shift of the noise levels where they follow the size; of the size unless given' }),
  image: picture.optional().meta({ media: 'picture', description: 'a picture to start from' }),
  strength: share.optional().meta({ description: 'how far a given picture may change' }),
  mask: picture.optional().meta({ media: 'picture', description: 'a picture as large: what is white is repainted' }),
  maskPadding: z.int().min(0).optional().meta({ description: 'work on the mask and so many pixels around it, enlarged' }),
  maskBlur: z.int().min(0).default(0).meta({ description: "pixels by which the mask's edge is softened" }),
  /** A picture for each ControlNet, how strongly it acts, and from which share of the way to which. */
  controls: z
    .array(z.object({ picture, scale: z.number().default(1), start: share.default(0), end: share.default(1) }))
    .optional()
    .meta(apart),
  /** Gives the latents and not the pictures. */
  output: z.enum(['pictures', 'latents']).default('pictures').meta(apart),
})

export type Settings = z.output<typeof options> & { readonly signal?: AbortSignal | undefined }

/** Where nothing is said. */
export const plainSettings: Settings = options.parse({ prompt: '' })
