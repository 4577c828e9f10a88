import { z } from 'zod'
import { parseConfig } from '../config.ts'

const count = z.int().positive()

/** A residual classifier; the fields that a U-Net has too are named and meant as there. */
export const classifierSchema = z
  .object({
    model_type: z.literal('residual_classifier').default('residual_classifier'),
    /** Pixels a side of the pictures that it learnt from. */
    sample_size: count,
    in_channels: count.default(3),
    /** Each level has half the resolution of the one before. The last width is that of the features. */
    block_out_channels: z.array(count).min(1).default([32, 64, 128]),
    layers_per_block: count.default(1),
    norm_num_groups: count.default(8),
    /** What each head tells apart: the names of its classes. */
    heads: z.record(z.string().regex(/^[a-z]\w*$/), z.array(z.string()).min(2)),
  })
  .check((ctx) => {
    const { block_out_channels: widths, norm_num_groups: groups, sample_size: side, heads } = ctx.value
    const fault = (field: string, message: string) =>
      ctx.issues.push({ code: 'custom', path: [field], message, input: ctx.value })
    const odd = widths.find((width) => width % groups !== 0)
    if (odd !== undefined) fault('norm_num_groups', `${odd} channels do not split into ${groups} groups`)
    const step = 2 ** (widths.length - 1)
    if (side % step !== 0) fault('sample_size', `${side} pixels; with ${widths.length} levels it must be a multiple of ${step}`)
    if (Object.keys(heads).length === 0) fault('heads', 'there must be one at least')
  })

export type ClassifierConfig = Readonly<z.infer<typeof classifierSchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const classifierConfig = (fields: unknown, place?: string): ClassifierConfig =>
  parseConfig('ResidualClassifier', classifierSchema, fields, place)
