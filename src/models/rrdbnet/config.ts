import { z } from 'zod'
import type { Shape } from '../../core/shape.ts'
import { parseConfig } from '../config.ts'
import { countOf, shapeIn } from '../shapes.ts'

const count = z.int().positive()

/** BasicSR's `RRDBNet` (basicsr/archs/rrdbnet_arch.py), by the names of its arguments. */
export const rrdbNetSchema = z.strictObject({
  num_in_ch: count.default(3),
  num_out_ch: count.default(3),
  /** 4, or 2 and 1, which take the picture in blocks of 2×2 and 4×4 pixels. */
  scale: z.union([z.literal(1), z.literal(2), z.literal(4)]).default(4),
  num_feat: count.default(64),
  num_block: count.default(23),
  num_grow_ch: count.default(32),
})
export type RrdbNetConfig = Readonly<z.infer<typeof rrdbNetSchema>>

/** @throws ModelConfigError */
export const rrdbNetConfig = (value: unknown, place?: string): RrdbNetConfig =>
  parseConfig('RRDBNet', rrdbNetSchema, value, place)

/** The config that a file's shapes tell. @throws ModelConfigError */
export function rrdbNetConfigOf(shapes: ReadonlyMap<string, Shape>, place: string): RrdbNetConfig {
  const [num_feat, inputs] = shapeIn(shapes, 'conv_first.weight', 4, place)
  const [num_out_ch] = shapeIn(shapes, 'conv_last.weight', 4, place)
  const [num_grow_ch] = shapeIn(shapes, 'body.0.rdb1.conv1.weight', 4, place)
  // The published networks have as many channels in as out; what goes in beyond them is blocks of pixels.
  const scale = inputs === 16 * num_out_ch ? 1 : inputs === 4 * num_out_ch ? 2 : 4
  const num_in_ch = scale === 4 ? inputs : num_out_ch
  const num_block = countOf(shapes, /^body\.(\d+)\./)
  return rrdbNetConfig({ num_in_ch, num_out_ch, scale, num_feat, num_block, num_grow_ch }, place)
}

/** A key of the first ESRGAN's files (`model.1.sub.0.RDB1.conv1.0.weight`) as RRDBNet's; every other key as it is. */
export function renameEsrgan(key: string): string {
  const dense = /^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.(weight|bias)$/.exec(key)
  if (dense) return `body.${dense[1]}.rdb${dense[2]}.conv${dense[3]}.${dense[4]}`
  const plain = /^model\.(0|1\.sub\.\d+|3|6|8|10)\.(weight|bias)$/.exec(key)
  if (!plain) return key
  const names: Readonly<Record<string, string>> = { 0: 'conv_first', 3: 'conv_up1', 6: 'conv_up2', 8: 'conv_hr', 10: 'conv_last' }
  return `${names[plain[1] as string] ?? 'conv_body'}.${plain[2]}`
}
