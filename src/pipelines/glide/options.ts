import { z } from 'zod'
import { NdArray } from '../../runtime/ndarray.ts'
import { numOption, seedOption } from '../options.ts'

const picture = z.instanceof(NdArray)
const spread = 'how the steps are spread: so many of each of equal stretches as 10,10,3,2,2, at one stride as ddim50, or fast27'

export const glideOptions = z.object({
  prompt: z.string().meta({ description: 'what the picture shows' }),
  steps: z
    .int()
    .positive()
    .default(100)
    .meta({ description: "sampling steps; as many as the model's own pipeline takes unless given" }),
  spacing: z
    .string()
    .optional()
    .meta({ description: `GLIDE: ${spread}` }),
  guidance: z.number().optional().meta({ description: 'how strongly the prompt guides; 1 or less is not at all' }),
  clipGuidance: z.number().positive().optional().meta({
    description: 'GLIDE: how strongly its noised CLIP guides, instead of guidance without a classifier',
  }),
  superResSteps: z.int().positive().optional().meta({ description: 'sampling steps of the enlarging network' }),
  superResSpacing: z
    .string()
    .default('fast27')
    .meta({ description: `GLIDE's enlarging network: ${spread}` }),
  temperature: z
    .number()
    .positive()
    .default(0.997)
    .meta({ description: "of the enlarging network's first noise; 1 is sharper, and grainier" }),
  image: picture.optional().meta({ media: 'picture', description: 'a picture to repaint' }),
  /** f32 [1|3, H, W] in [−1, 1]: white is repainted. */
  mask: picture.optional().meta({ media: 'picture', description: 'a picture as large: what is white is repainted' }),
  seed: seedOption,
  num: numOption,
})
export type GlideSettings = z.output<typeof glideOptions>
