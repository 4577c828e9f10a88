import { z } from 'zod'

/** What AUTOMATIC1111's web UI takes of its requests, as far as it has a counterpart here; other fields are left unread. */
const common = {
  prompt: z.string().max(32_000).default(''),
  negative_prompt: z.string().max(32_000).optional(),
  seed: z.int().min(-1).optional().meta({ description: '-1 for another each time' }),
  steps: z.int().min(1).max(10_000).optional(),
  cfg_scale: z.number().optional(),
  width: z.int().positive().optional(),
  height: z.int().positive().optional(),
  sampler_name: z.string().optional().meta({ description: 'as DPM++ 2M Karras' }),
  sampler_index: z.string().optional(),
  scheduler: z.string().optional().meta({ description: 'as Karras, behind the sampler’s name' }),
  batch_size: z.int().min(1).max(16).default(1),
  n_iter: z.int().min(1).max(16).default(1),
  eta: z.number().min(0).max(1).optional(),
  send_images: z.boolean().default(true),
  override_settings: z
    .looseObject({ sd_model_checkpoint: z.string().optional(), CLIP_stop_at_last_layers: z.int().min(1).max(12).optional() })
    .optional(),
}

export const textRequest = z.object({
  ...common,
  enable_hr: z.boolean().default(false),
  hr_scale: z.number().gt(1).max(8).default(2),
  hr_second_pass_steps: z.int().min(0).default(0),
  denoising_strength: z.number().min(0).max(1).optional(),
})

export const imageRequest = z.object({
  ...common,
  init_images: z.array(z.string()).length(1, 'expected one picture'),
  mask: z.string().optional().meta({ description: 'white is repainted' }),
  denoising_strength: z.number().min(0).max(1).default(0.75),
  resize_mode: z.int().min(0).max(2).default(0).meta({ description: '0 as it is, 1 cropped, 2 filled' }),
  mask_blur: z.number().min(0).max(64).optional(),
  inpainting_fill: z.int().min(0).max(3).default(1).meta({ description: '0 colours around, 1 the picture, 2 noise, 3 nothing' }),
  inpaint_full_res: z.boolean().default(false),
  inpaint_full_res_padding: z.int().min(0).max(256).default(32),
  inpainting_mask_invert: z.union([z.int().min(0).max(1), z.boolean()]).default(0),
})

export type TextRequest = z.infer<typeof textRequest>
export type ImageRequest = z.infer<typeof imageRequest>

export const pngInfoRequest = z.object({ image: z.string().min(1) })

export const optionsRequest = z.looseObject({ sd_model_checkpoint: z.string().optional() })

export const extraRequest = z.object({
  image: z.string().min(1),
  upscaler_1: z.string().default('lanczos'),
  upscaling_resize: z.number().positive().max(64).default(2),
})
