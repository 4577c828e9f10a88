import { z } from 'zod'
import type { Shape } from '../../core/shape.ts'
import { parseConfig } from '../config.ts'
import { countOf, shapeIn } from '../shapes.ts'

const count = z.int().positive()

/** Real-ESRGAN's `SRVGGNetCompact` (realesrgan/archs/srvgg_arch.py), by the names of its arguments. */
export const srvggSchema = z.strictObject({
  num_in_ch: count.default(3),
  num_out_ch: count.default(3),
  num_feat: count.default(64),
  num_conv: z.int().min(0).default(16),
  upscale: count.default(4),
  act_type: z.enum(['relu', 'prelu', 'leakyrelu']).default('prelu'),
})
export type SrvggConfig = Readonly<z.infer<typeof srvggSchema>>

/** @throws ModelConfigError */
export const srvggConfig = (value: unknown, place?: string): SrvggConfig =>
  parseConfig('SRVGGNetCompact', srvggSchema, value, place)

/** The config that a file's shapes tell; `leakyrelu` and `relu` have no keys, and all published files have `prelu`. @throws ModelConfigError */
export function srvggConfigOf(shapes: ReadonlyMap<string, Shape>, place: string): SrvggConfig {
  const layers = countOf(shapes, /^body\.(\d+)\./)
  const [num_feat, num_in_ch] = shapeIn(shapes, 'body.0.weight', 4, place)
  const [outputs] = shapeIn(shapes, `body.${layers - 1}.weight`, 4, place)
  const num_out_ch = num_in_ch
  const act_type = shapes.has('body.1.weight') ? 'prelu' : 'relu'
  return srvggConfig(
    { num_in_ch, num_out_ch, num_feat, num_conv: (layers - 3) / 2, upscale: Math.sqrt(outputs / num_out_ch), act_type },
    place,
  )
}
