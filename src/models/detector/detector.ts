import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import type { Tensor } from '../../core/tensor.ts'
import { conv, fanIn, groupNorm, type Params, resnetBlock } from '../../nn/index.ts'
import { classifier, classifierConfig } from '../classifier/index.ts'
import { parseConfig } from '../config.ts'

const names = z.array(z.string()).min(2)

/** A detector of objects by their centres; the backbone's fields are the classifier's. */
export const detectorSchema = z.object({
  model_type: z.literal('centre_detector').default('centre_detector'),
  sample_size: z.int().positive(),
  block_out_channels: z.array(z.int().positive()).min(4).default([24, 48, 96, 128]),
  layers_per_block: z.int().positive().default(1),
  norm_num_groups: z.int().positive().default(8),
  /** Width of the map that objects are found in. */
  head_channels: z.int().positive().default(96),
  /** What objects can be. */
  classes: names,
  /** What the whole picture can be, by question. */
  heads: z.record(z.string().regex(/^[a-z]\w*$/), names),
})
export type DetectorConfig = Readonly<z.infer<typeof detectorSchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const detectorConfig = (fields: unknown, place?: string): DetectorConfig =>
  parseConfig('CentreDetector', detectorSchema, fields, place)

/** Of a map of G × G cells, each a quarter of the picture's pixels a side. */
export interface Detected {
  /** [B, G, G]: logits that an object's centre lies in a cell. */
  readonly centres: Tensor
  /** [B, G, G, classes]: logits of what it is. */
  readonly classes: Tensor
  /** [B, G, G]: the logarithm of its side, as a fraction of the picture's. */
  readonly sizes: Tensor
  /** [B, classes] a head, of the whole picture. */
  readonly logits: Readonly<Record<string, Tensor>>
  /** [B, D]: by which pictures can be compared. */
  readonly features: Tensor
}

export type Detector = (images: Tensor) => Detected

/** The share of cells with an object at the start (Lin et al. 2017b, section 4.1). */
const PRIOR = 0.01

/** Objects as points (Zhou et al. 2019): a residual network whose third and fourth level are joined in the map of cells. */
export function detector(p: Params, config: DetectorConfig): Detector {
  const { classes, head_channels: width, norm_num_groups: groups, heads, block_out_channels: widths } = config
  const { sample_size, layers_per_block, norm_num_groups } = config
  const backbone = classifier(
    p.at('backbone'),
    classifierConfig({ sample_size, block_out_channels: widths, layers_per_block, norm_num_groups, heads }),
  )
  const fine = conv(p.at('lateral', 0), widths[2] as number, width, 1)
  const coarse = conv(p.at('lateral', 1), widths[3] as number, width, 1)
  const block = resnetBlock(p.at('block'), width, width, { groups, timeWidth: 0 })
  const norm = groupNorm(p.at('norm_out'), groups, width)
  const toCentres = conv(p.at('centres'), width, 1, 1)
  const toClasses = conv(p.at('classes'), width, classes.length, 1, { init: fanIn(width) })
  const toSizes = conv(p.at('sizes'), width, 1, 1)

  return (images) => {
    const { maps, logits, features } = backbone(images)
    const [third, fourth] = [maps[2], maps[3]]
    if (!third || !fourth) throw new ArgumentError('detector: its backbone must have four levels')
    const x = norm(block(fine(third).add(coarse(fourth).upsample([2, 2])))).silu()
    return {
      centres: toCentres(x)
        .squeeze(1)
        .add(Math.log(PRIOR / (1 - PRIOR))),
      classes: toClasses(x).transpose(0, 2, 3, 1),
      sizes: toSizes(x).squeeze(1),
      logits,
      features,
    }
  }
}
