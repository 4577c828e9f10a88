import { z } from 'zod'
import { NdArray } from '../../runtime/ndarray.ts'
import { numOption, schedulerOption, seedOption, stepsOption } from '../options.ts'
import { priorOptions } from '../unclip/options.ts'

const pixels = z.int().positive()
const share = z.number().min(0).max(1)
const picture = z.instanceof(NdArray)
const apart = { apart: true } as const

/** What the decoder takes of a prior, and the prior of a prompt. */
const priorShape = {
  prompt: z.string().meta({ description: 'what the picture shows' }),
  negative: z.string().optional().meta({ description: 'what it does not show' }),
  ...priorOptions(),
  priorStrength: share
    .optional()
    .meta({ description: "how far the prior may change the given picture's embedding, from which it then starts" }),
  image: picture.optional().meta({ media: 'picture', description: 'a picture to start from' }),
  seed: seedOption,
  num: numOption,
}

export const priorPageOptions = z.object(priorShape)
export type PriorSettings = z.output<typeof priorPageOptions>

/** Embeddings [1|num, D] that a prior made before, in the prompt's place. */
const embeds = picture.optional().meta(apart)

export const kandinskyOptions = z.object({
  ...priorShape,
  prompt: priorShape.prompt.optional(),
  imageEmbeds: embeds,
  negativeImageEmbeds: embeds,
  steps: stepsOption.default(100),
  guidance: z.number().default(4).meta({ description: 'how strongly the prompt guides; 1 or less is not at all' }),
  strength: share.optional().meta({ description: 'how far a given picture may change' }),
  /** f32 [1|3, H, W] in [−1, 1]: white is repainted. */
  mask: picture.optional().meta({ media: 'picture', description: 'a picture as large: what is white is repainted' }),
  /** The control image of a model that takes one. */
  controls: z.array(z.object({ picture })).max(1).optional().meta(apart),
  width: pixels.default(512).meta({ description: 'in pixels' }),
  height: pixels.default(512).meta({ description: 'in pixels' }),
  scheduler: schedulerOption,
})
export type KandinskySettings = z.output<typeof kandinskyOptions>
