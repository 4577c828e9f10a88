import { z } from 'zod'
import type { Shape } from '../../core/shape.ts'
import { parseConfig } from '../config.ts'
import { countOf, shapeIn } from '../shapes.ts'

const count = z.int().positive()

/** SwinIR (models/network_swinir.py of JingyunLiang/SwinIR), by the names of its arguments. */
export const swinIrSchema = z.strictObject({
  in_chans: count.default(3),
  /** Pixels a side that training saw: windows as large as that, or larger, are not shifted. */
  img_size: count.default(64),
  embed_dim: count.default(96),
  /** Transformer layers of each residual group. */
  depths: z.array(count).min(1).default([6, 6, 6, 6]),
  num_heads: z.array(count).min(1).default([6, 6, 6, 6]),
  window_size: count.default(7),
  mlp_ratio: z.number().positive().default(4),
  qkv_bias: z.boolean().default(true),
  patch_norm: z.boolean().default(true),
  upscale: count.default(2),
  /** Values of pictures inside the network: 0 to this. */
  img_range: z.number().positive().default(1),
  /** How pixels are made: classical, light and real-world super-resolution; `''` restores at the same size. */
  upsampler: z.enum(['pixelshuffle', 'pixelshuffledirect', 'nearest+conv', '']).default(''),
  resi_connection: z.enum(['1conv', '3conv']).default('1conv'),
})
export type SwinIrConfig = Readonly<z.infer<typeof swinIrSchema>>

const checked = swinIrSchema.check(checkSwin)

/** What the shapes of a network of Swin blocks must have in common. */
export function checkSwin(
  ctx: z.core.ParsePayload<Pick<SwinIrConfig, 'depths' | 'num_heads' | 'embed_dim' | 'upscale'> & { readonly upsampler: string }>,
) {
  const { depths, num_heads, embed_dim, upscale, upsampler } = ctx.value
  const fault = (path: string, message: string) => ctx.issues.push({ code: 'custom', path: [path], message, input: ctx.value })
  if (depths.length !== num_heads.length) fault('num_heads', `has ${num_heads.length} entries, depths has ${depths.length}`)
  if (num_heads.some((heads) => embed_dim % heads !== 0)) fault('num_heads', `must divide embed_dim, ${embed_dim}`)
  const power = Number.isInteger(Math.log2(upscale))
  if (upsampler === '' && upscale !== 1) fault('upscale', `is ${upscale}; without an upsampler it must be 1`)
  if (upsampler.startsWith('pixelshuffle') && upsampler !== 'pixelshuffledirect' && upscale !== 3 && !power)
    fault('upscale', `is ${upscale}; pixelshuffle takes 3 or 2ⁿ`)
  if (upsampler === 'nearest+conv' && upscale !== 2 && upscale !== 4) fault('upscale', `is ${upscale}; nearest+conv takes 2 or 4`)
}

/** @throws ModelConfigError */
export const swinIrConfig = (value: unknown, place?: string): SwinIrConfig => parseConfig('SwinIR', checked, value, place)

/**
 * The config that a published file's shapes tell. What no shape tells is as published: windows of 7 are those of the JPEG
 * networks, whose values go to 255.
 *
 * @throws ModelConfigError
 */
export function swinIrConfigOf(shapes: ReadonlyMap<string, Shape>, place: string): SwinIrConfig {
  const [embed_dim, in_chans] = shapeIn(shapes, 'conv_first.weight', 4, place)
  const groups = countOf(shapes, /^layers\.(\d+)\./)
  const group = (i: number) => `layers.${i}.residual_group.blocks`
  const table = (i: number) => shapeIn(shapes, `${group(i)}.0.attn.relative_position_bias_table`, 2, place)
  const each = <T>(of: (i: number) => T): T[] => Array.from({ length: groups }, (_, i) => of(i))
  const [positions] = table(0)
  const window_size = (Math.sqrt(positions) + 1) / 2
  const [inner] = shapeIn(shapes, `${group(0)}.0.mlp.fc1.weight`, 2, place)
  return swinIrConfig(
    {
      in_chans,
      embed_dim,
      window_size,
      depths: each((i) => countOf(shapes, new RegExp(`^layers\\.${i}\\.residual_group\\.blocks\\.(\\d+)\\.`))),
      num_heads: each((i) => table(i)[1]),
      mlp_ratio: inner / embed_dim,
      qkv_bias: shapes.has(`${group(0)}.0.attn.qkv.bias`),
      patch_norm: shapes.has('patch_embed.norm.weight'),
      img_range: window_size === 7 ? 255 : 1,
      resi_connection: shapes.has('conv_after_body.0.weight') ? '3conv' : '1conv',
      ...upsamplingIn(shapes, in_chans, place),
    },
    place,
  )
}

export function upsamplingIn(shapes: ReadonlyMap<string, Shape>, channels: number, place: string) {
  if (shapes.has('conv_up1.weight')) return { upsampler: 'nearest+conv', upscale: shapes.has('conv_up2.weight') ? 4 : 2 } as const
  if (!shapes.has('upsample.0.weight')) return { upsampler: '', upscale: 1 } as const
  const [outputs, inputs] = shapeIn(shapes, 'upsample.0.weight', 4, place)
  if (!shapes.has('conv_before_upsample.0.weight'))
    return { upsampler: 'pixelshuffledirect', upscale: Math.sqrt(outputs / channels) } as const
  const steps = [...shapes.keys()].filter((key) => /^upsample\.\d+\.weight$/.test(key)).length
  return { upsampler: 'pixelshuffle', upscale: outputs === 9 * inputs ? 3 : 2 ** steps } as const
}

/** Keys of files that are no weights: tables of positions, and masks of the size that was trained on. */
export const isSwinBuffer = (key: string): boolean => /\.(relative_position_index|relative_coords_table|attn_mask)$/.test(key)
