import { z } from 'zod'
import { NdArray } from '../../runtime/ndarray.ts'
import { numOption, schedulerOption, seedOption, stepsOption } from '../options.ts'

/** Steps of a scheduler that spreads them from its first timestep to its last. */
const atLeastTwo = z.int().min(2)

export const picture = z.instanceof(NdArray)

/** The options of the prior; those of a scheduler that spreads its steps, or of another. */
export const priorOptions = (steps: z.ZodInt = atLeastTwo) => ({
  priorSteps: steps.default(25).meta({ description: 'sampling steps of the prior, which makes an embedding of a prompt' }),
  priorGuidance: z.number().default(4).meta({ description: 'how strongly the prompt guides the prior; 1 or less is not at all' }),
})

/** The options of Karlo's decoder. */
export const decoderOptions = {
  steps: stepsOption.min(2).default(25),
  guidance: z.number().default(8).meta({ description: 'how strongly the prompt guides; 1 or less is not at all' }),
  superResSteps: atLeastTwo.default(7).meta({ description: 'sampling steps of the enlarging network' }),
  seed: seedOption,
  num: numOption,
}

export const textOptions = z.object({
  prompt: z.string().meta({ description: 'what the picture shows' }),
  ...priorOptions(),
  priorCandidates: z.int().positive().default(1).meta({
    description: 'embeddings that the prior draws for a picture, of which the nearest to the prompt is kept; DALL·E 2 draws two',
  }),
  ...decoderOptions,
})

/** What may be done to a picture by way of its embedding. */
const editOptions = {
  vary: z.boolean().default(false).meta({
    description:
      "start from the noise that the picture itself comes from: what its embedding leaves open stays, but for --eta's share",
  }),
  interpolate: picture.optional().meta({ media: 'picture', description: 'another picture: --num pictures on the way there' }),
  to: z.string().optional().meta({ description: 'a text that the picture is changed towards, away from the text of --from' }),
  /** The text that the picture is changed away from; nothing in particular unless given. */
  fromText: z.string().optional().meta({ apart: true }),
  amount: z.number().min(0).max(1).default(0.35).meta({ description: 'of --to: how far; of several pictures, how far the last' }),
  eta: z.number().min(0).max(1).default(0).meta({ description: 'noise that ddim and tcd renew' }),
}

export const variationOptions = z.object({
  image: picture.meta({ media: 'picture', description: 'a picture to vary' }),
  ...editOptions,
  ...decoderOptions,
})
/** What an edit needs of them. */
export type EditSettings = Pick<
  z.output<typeof variationOptions>,
  'image' | 'vary' | 'interpolate' | 'to' | 'fromText' | 'amount' | 'eta' | 'num'
>

/** Of a prior that draws codes one after another. */
export const codePriorOptions = {
  priorTemperature: z.number().min(0.01).default(0.5).meta({
    description: 'of an autoregressive prior: less is nearer to the likeliest embedding',
  }),
}

/** What a decoder of latents takes: a prompt, by way of the prior, or a picture. */
export const latentOptions = z.object({
  prompt: z.string().optional().meta({ description: 'what the picture shows' }),
  image: picture.optional().meta({ media: 'picture', description: 'a picture to vary, instead of what the prior draws' }),
  ...editOptions,
  ...priorOptions(),
  priorGuidance: z.number().default(2).meta({ description: 'how strongly the prompt guides the prior; 1 or less is not at all' }),
  priorCandidates: z.int().positive().default(2).meta({
    description: 'embeddings that the prior draws for a picture, of which the nearest to the prompt is kept',
  }),
  ...codePriorOptions,
  steps: stepsOption.default(20),
  guidance: z.number().default(2).meta({ description: 'how strongly embedding and prompt guide; 1 or less is not at all' }),
  dropText: z.boolean().default(false).meta({ description: 'decode the embedding alone, without the prompt' }),
  scheduler: schedulerOption,
  seed: seedOption,
  num: numOption,
})
export type LatentSettings = z.output<typeof latentOptions>

const pixels = z.int().positive().optional()
const stable = {
  negative: z.string().default('').meta({ description: 'what it does not show' }),
  steps: stepsOption.default(20),
  guidance: z.number().default(10).meta({ description: 'how strongly the prompt guides; 1 or less is not at all' }),
  noiseLevel: z
    .int()
    .min(0)
    .default(0)
    .meta({ description: "noise that is added to the picture's embedding: more, more varied pictures" }),
  seed: seedOption,
  width: pixels.meta({ description: "in pixels; the model's own unless given" }),
  height: pixels.meta({ description: 'in pixels' }),
  num: numOption,
  scheduler: schedulerOption,
  eta: z.number().min(0).max(1).default(0).meta({ description: 'noise that ddim and tcd renew' }),
}

export const stableTextOptions = z.object({
  prompt: z.string().meta({ description: 'what the picture shows' }),
  ...priorOptions(z.int().positive()),
  ...stable,
  clipSkip: z.int().min(0).default(0).meta({ description: "layers of the text encoder left out at the prompt's end" }),
})

export const stableImageOptions = z.object({
  image: picture.meta({ media: 'picture', description: 'a picture to vary' }),
  prompt: z.string().default('').meta({ description: 'what the picture shows' }),
  ...stable,
})
export type StableSettings = Omit<z.output<typeof stableImageOptions>, 'image'> & { readonly clipSkip?: number }
