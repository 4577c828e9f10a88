import { z } from 'zod'
import { ArgumentError } from '../../../core/errors.ts'
import { preprocessorNames } from '../../../images/index.ts'
import { folderSchema, scenesSchema } from '../../data.ts'
import { textToImageSchema } from '../text-to-image/schema.ts'

/** Control images that are made of a scene itself, as no picture tells them without a network. */
export const sceneConditions = ['layout', 'depth-order'] as const
export const conditions = [...preprocessorNames, ...sceneConditions] as const
export type Condition = (typeof conditions)[number]

/** A folder of one's own pictures, with their captions and, by a column of the metadata, their control images. */
export const controlFolderSchema = folderSchema.extend({
  /** The column of the metadata that names each picture's control image; without it `condition` makes them of the pictures. */
  conditioning_image_column: z.string().optional(),
})

/** A ControlNet for a text-to-image model. Names are those of the flags of diffusers' `train_controlnet.py`, where it has them. */
export const controlnetSchema = z.object({
  data: z.discriminatedUnion('kind', [scenesSchema, controlFolderSchema]),
  resolution: z.int().positive().default(64),
  /** The model that is controlled, and whose encoder is copied: a folder or a name of a Stable Diffusion pipeline. */
  pretrained_model_name_or_path: z.string().default('stickers-t2i'),
  /** A ControlNet to go on from. */
  controlnet_model_name_or_path: z.string().optional(),
  /** What control images show, where they are made on the fly. */
  condition: z.enum(conditions).optional(),
  /** Widths of the hint's encoder; by default Stable Diffusion's, as many as the autoencoder needs. */
  conditioning_embedding_out_channels: z.array(z.int().positive()).min(1).optional(),
  /** The share of captions that are left out, so that control images must tell what they can. */
  proportion_empty_prompts: z.number().min(0).max(1).default(0.5),
  /** How the 1×1 convolutions start: of zeros, or as other layers do, which lets noise into the base from the first step on. */
  zero_convolutions: z.enum(['zero', 'gaussian']).default('zero'),
  timestep_bias: textToImageSchema.shape.timestep_bias,
  /** How many scenes are learnt from. Of a folder it is all pictures. */
  pool: z.int().positive().default(8192),
})
export type ControlNetRecipe = z.infer<typeof controlnetSchema>

/** @throws ArgumentError for control images that come from nowhere, or from two places */
export function checkConditions({ data, condition }: Pick<ControlNetRecipe, 'data' | 'condition'>): void {
  const column = data.kind === 'folder' ? data.conditioning_image_column : undefined
  if ((condition === undefined) === (column === undefined))
    throw new ArgumentError(
      data.kind === 'scenes'
        ? `controlnet: give condition, one of ${conditions.join(', ')}`
        : 'controlnet: give either condition or data.conditioning_image_column',
    )
  if (data.kind === 'folder' && condition !== undefined && !(preprocessorNames as readonly string[]).includes(condition))
    throw new ArgumentError(
      `controlnet: ${condition} is made of scenes alone; of a folder's pictures ${preprocessorNames.join(', ')} can be`,
    )
}
