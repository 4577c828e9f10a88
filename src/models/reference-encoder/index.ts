import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { dims, range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { feedForward } from '../../nn/feed-forward.ts'
import { layerNorm, linear } from '../../nn/layers.ts'
import { normal, type Params } from '../../nn/params.ts'
import { patchEmbedding } from '../../nn/patches.ts'
import { tokenAttention } from '../../nn/token-attention.ts'
import { parseConfig } from '../config.ts'

const count = z.int().positive()

/** Pictures as tokens of a text's width. Nothing published has this form: fields and keys are our own. */
export const referenceEncoderSchema = z
  .object({
    /** Pixels a side of a picture. */
    image_size: count.default(32),
    patch_size: count.default(8),
    hidden_size: count.default(128),
    num_layers: count.default(2),
    num_attention_heads: count.default(4),
    /** Width of the tokens: that of the text's states. */
    output_size: count,
    /** Pictures that a prompt may name. */
    max_references: count.default(4),
  })
  .check((ctx) => {
    const { image_size: side, patch_size: patch, hidden_size: width, num_attention_heads: heads } = ctx.value
    const fault = (field: string, message: string) =>
      ctx.issues.push({ code: 'custom', path: [field], message, input: ctx.value })
    if (side % patch !== 0) fault('patch_size', `${patch} does not divide image_size, ${side}`)
    if (width % heads !== 0) fault('num_attention_heads', `${heads} do not divide hidden_size, ${width}`)
  })
export type ReferenceEncoderConfig = Readonly<z.infer<typeof referenceEncoderSchema>>

/** @throws ModelConfigError with every fault */
export const referenceEncoderConfig = (fields: unknown, place?: string): ReferenceEncoderConfig =>
  parseConfig('ReferenceEncoder', referenceEncoderSchema, fields, place)

/**
 * Pictures that a prompt names, as tokens that a U-Net attends to behind the text's: pictures [B, R, 3, S, S] → [B, R·P, output_size]. A
 * token says of which picture it is, as the prompt's marker does. A reconstruction, after what is published nearest (Hu et al. 2024,
 * Instruct-Imagen): Imagen 2 itself has no paper.
 */
export function referenceEncoder(p: Params, config: ReferenceEncoderConfig): (pictures: Tensor) => Tensor {
  const { image_size: side, patch_size: patch, hidden_size: width, num_attention_heads: heads, max_references: most } = config
  const patches = (side / patch) ** 2
  const embed = patchEmbedding(p.at('patch_embedding'), 3, width, patch)
  const positions = p.get('position_embedding', [1, patches, width], normal(0.02))
  const numbers = p.get('reference_embedding', [most, width], normal(0.02))
  const blocks = range(config.num_layers).map((i) => {
    const own = p.at('blocks', i)
    const [before, between] = [layerNorm(own.at('norm1'), width), layerNorm(own.at('norm2'), width)]
    const attend = tokenAttention(own.at('attn'), { width, heads })
    const feed = feedForward(own.at('ff'), width)
    return (x: Tensor) => {
      const seen = x.add(attend(before(x)))
      return seen.add(feed(between(seen)))
    }
  })
  const norm = layerNorm(p.at('norm'), width)
  const project = linear(p.at('proj'), width, config.output_size)
  return (pictures) => {
    const { B, R } = dims(pictures, 'B R C H W', { C: 3, H: side, W: side })
    if (R > most) throw new ArgumentError(`references: ${R} pictures, and the network knows ${most}`)
    const tokens = embed(pictures.reshape([B * R, 3, side, side])).add(positions)
    const own = blocks.reduce((x, block) => block(x), tokens)
    const told = norm(own)
      .reshape([B, R, patches, width])
      .add(numbers.slice(0, 0, R).reshape([1, R, 1, width]))
    return project(told.reshape([B, R * patches, width]))
  }
}
