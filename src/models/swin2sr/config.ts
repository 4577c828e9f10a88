import { z } from 'zod'
import type { Shape } from '../../core/shape.ts'
import { parseConfig } from '../config.ts'
import { countOf, shapeIn } from '../shapes.ts'
import { checkSwin, swinIrSchema, upsamplingIn } from '../swinir/config.ts'

/** Swin2SR (models/network_swin2sr.py of mv-lab/swin2sr), by the names of its arguments. */
export const swin2SrSchema = swinIrSchema.extend({
  /** As SwinIR's; `pixelshuffle_aux` also restores the small picture, for compressed ones. */
  upsampler: z.enum(['pixelshuffle', 'pixelshuffledirect', 'pixelshuffle_aux', 'nearest+conv', '']).default(''),
})
export type Swin2SrConfig = Readonly<z.infer<typeof swin2SrSchema>>

const checked = swin2SrSchema.check(checkSwin)

/** @throws ModelConfigError */
export const swin2SrConfig = (value: unknown, place?: string): Swin2SrConfig => parseConfig('Swin2SR', checked, value, place)

/** The config that a published file's shapes tell. @throws ModelConfigError */
export function swin2SrConfigOf(shapes: ReadonlyMap<string, Shape>, place: string): Swin2SrConfig {
  const [embed_dim, in_chans] = shapeIn(shapes, 'conv_first.weight', 4, place)
  const groups = countOf(shapes, /^layers\.(\d+)\./)
  const group = (i: number) => `layers.${i}.residual_group.blocks`
  const each = <T>(of: (i: number) => T): T[] => Array.from({ length: groups }, (_, i) => of(i))
  const [inner] = shapeIn(shapes, `${group(0)}.0.mlp.fc1.weight`, 2, place)
  // No weight has the window's size; the table of positions that files carry along has.
  const positions = shapes.get(`${group(0)}.0.attn.relative_coords_table`)?.[1]
  const window_size = positions === undefined ? 8 : (positions + 1) / 2
  return swin2SrConfig(
    {
      in_chans,
      embed_dim,
      window_size,
      depths: each((i) => countOf(shapes, new RegExp(`^layers\\.${i}\\.residual_group\\.blocks\\.(\\d+)\\.`))),
      num_heads: each((i) => shapeIn(shapes, `${group(i)}.0.attn.logit_scale`, 3, place)[0]),
      mlp_ratio: inner / embed_dim,
      qkv_bias: shapes.has(`${group(0)}.0.attn.q_bias`),
      patch_norm: shapes.has('patch_embed.norm.weight'),
      img_range: window_size === 7 ? 255 : 1,
      resi_connection: shapes.has('conv_after_body.0.weight') ? '3conv' : '1conv',
      ...upsamplingIn(shapes, in_chans, place),
      ...(shapes.has('conv_aux.weight') && { upsampler: 'pixelshuffle_aux' }),
    },
    place,
  )
}
