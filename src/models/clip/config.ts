import { z } from 'zod'
import type { GeluKind } from '../../core/ops/elementwise.ts'
import { ModelConfigError, parseTransformersConfig } from '../config.ts'

const count = z.int().positive()

/** The activations that CLIP checkpoints name, and the GELU that each of them is. */
export const geluKinds = {
  quick_gelu: 'quick',
  gelu: 'exact',
  gelu_new: 'tanh',
  gelu_pytorch_tanh: 'tanh',
} as const satisfies Record<string, GeluKind>

const encoderFields = {
  num_hidden_layers: count.default(12),
  hidden_act: z.enum(Object.keys(geluKinds) as (keyof typeof geluKinds)[]).default('quick_gelu'),
  layer_norm_eps: z.number().positive().default(1e-5),
  projection_dim: count.default(512),
  initializer_range: z.number().positive().default(0.02),
  initializer_factor: z.number().positive().default(1),
}

const headsFit = (ctx: z.core.ParsePayload<{ hidden_size: number; num_attention_heads: number }>) => {
  const { hidden_size: width, num_attention_heads: heads } = ctx.value
  if (width % heads === 0) return
  const message = `${width} channels do not split into ${heads} heads`
  ctx.issues.push({ code: 'custom', path: ['num_attention_heads'], message, input: ctx.value })
}

/** The fields of transformers' `CLIPTextConfig` that decide the network, with its defaults (models/clip, v5.23). */
export const clipTextSchema = z
  .object({
    ...encoderFields,
    vocab_size: count.default(49408),
    hidden_size: count.default(512),
    intermediate_size: count.default(2048),
    num_attention_heads: count.default(8),
    max_position_embeddings: count.default(77),
    /** Its first position is pooled. 2 stands in older configs, wrongly: there the greatest token number is. */
    eos_token_id: z.int().nonnegative().default(49407),
  })
  .check(headsFit)

/** The fields of transformers' `CLIPVisionConfig` that decide the network, with its defaults. */
export const clipVisionSchema = z
  .object({
    ...encoderFields,
    hidden_size: count.default(768),
    intermediate_size: count.default(3072),
    num_attention_heads: count.default(12),
    num_channels: count.default(3),
    /** Pixels a side. */
    image_size: count.default(224),
    patch_size: count.default(32),
  })
  .check(headsFit)
  .check((ctx) => {
    const { image_size: side, patch_size: patch } = ctx.value
    const message = `no patch of ${patch} pixels fits into ${side}`
    if (patch > side) ctx.issues.push({ code: 'custom', path: ['patch_size'], message, input: ctx.value })
  })

export type ClipTextConfig = Readonly<z.infer<typeof clipTextSchema>>
export type ClipVisionConfig = Readonly<z.infer<typeof clipVisionSchema>>
export interface ClipConfig {
  readonly text_config: ClipTextConfig
  readonly vision_config: ClipVisionConfig
  /** Width of the space that pictures and texts share. */
  readonly projection_dim: number
  /** Of the logarithm of the scale. */
  readonly logit_scale_init_value: number
  readonly initializer_factor: number
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** One half of a config that has both, as `CLIPModel`'s; a config of that half as it is. An older spelling goes before. */
function half(value: unknown, side: 'text' | 'vision', place: string): unknown {
  if (!isObject(value)) return value
  const nested = value[`${side}_config`]
  const older = value[`${side}_config_dict`]
  if (isObject(nested) || isObject(older)) return { ...(isObject(nested) && nested), ...(isObject(older) && older) }
  const type = value.model_type
  if (type !== undefined && type !== `clip_${side}_model` && type !== 'clip') {
    const message = `is ${JSON.stringify(type)}, expected "clip_${side}_model" or "clip"`
    throw new ModelConfigError(place, [{ field: 'model_type', message }])
  }
  return value
}

/**
 * A text model's config from what its `config.json` holds: `CLIPTextConfig`, or the text half of `CLIPConfig`.
 *
 * @param place what errors call it, such as its file
 * @throws ModelConfigError with every fault
 */
export const clipTextConfig = (fields: unknown, place = 'CLIPTextModel'): ClipTextConfig =>
  parseTransformersConfig('CLIPTextModel', clipTextSchema, half(fields, 'text', place), place)

/** As `clipTextConfig`, for the side of the pictures. */
export const clipVisionConfig = (fields: unknown, place = 'CLIPVisionModel'): ClipVisionConfig =>
  parseTransformersConfig('CLIPVisionModel', clipVisionSchema, half(fields, 'vision', place), place)

const sharedSchema = z.object({
  projection_dim: count.default(512),
  logit_scale_init_value: z.number().default(2.6592),
  initializer_factor: z.number().positive().default(1),
})

/** transformers' `CLIPConfig`: both halves and what they share. @throws ModelConfigError with every fault of a half */
export const clipConfig = (fields: unknown, place = 'CLIPModel'): ClipConfig => ({
  ...parseTransformersConfig('CLIPModel', sharedSchema, fields, place),
  text_config: clipTextConfig((isObject(fields) && half({ text_config: {}, ...fields }, 'text', place)) || {}, place),
  vision_config: clipVisionConfig((isObject(fields) && half({ vision_config: {}, ...fields }, 'vision', place)) || {}, place),
})
