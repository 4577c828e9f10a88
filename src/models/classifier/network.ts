import { avgPool } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { conv, groupNorm, layerNorm, linear } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import { resnetBlock } from '../../nn/resnet.ts'
import type { ClassifierConfig } from './config.ts'

export interface Classified {
  /** [B, D]: what is left of a picture before it is classified, by which pictures can be compared. */
  readonly features: Tensor
  /** [B, classes] a head. */
  readonly logits: Readonly<Record<string, Tensor>>
  /** [B, C, H, W] of every level, from the finest: what pictures are compared by place for place. */
  readonly maps: readonly Tensor[]
}

/** images [B, C, H, W] in [−1, 1] → features and the logits of every head. */
export type Classifier = (images: Tensor) => Classified

/**
 * A residual network with norm and activation before each convolution (He et al. 2016b), the average over the picture,
 * normalised so that the heads learn at once, and the heads.
 */
export function classifier(p: Params, config: ClassifierConfig): Classifier {
  const { block_out_channels: widths, norm_num_groups: groups, layers_per_block: layers, in_channels: channels } = config
  const first = widths[0] as number
  const last = widths.at(-1) as number
  const convIn = conv(p.at('conv_in'), channels, first, 3, { padding: 1 })
  const levels = widths.map((width, i) =>
    Array.from({ length: layers }, (_, j) => {
      const inputs = j === 0 ? (widths[Math.max(0, i - 1)] as number) : width
      const halve = i > 0 && j === 0 ? { resample: (x: Tensor) => avgPool(x, 2) } : {}
      return resnetBlock(p.at('blocks', i, 'resnets', j), inputs, width, { groups, timeWidth: 0, ...halve })
    }),
  )
  const normOut = groupNorm(p.at('norm_out'), groups, last)
  const norm = layerNorm(p.at('norm'), last)
  const heads = Object.entries(config.heads).map(
    ([name, classes]) => [name, linear(p.at('heads', name), last, classes.length)] as const,
  )

  return (images) => {
    const side = config.sample_size
    dims(images, 'B C H W', { C: channels, H: side, W: side })
    const maps: Tensor[] = []
    for (const blocks of levels) maps.push(blocks.reduce((x, block) => block(x), maps.at(-1) ?? convIn(images)))
    const y = maps.at(-1) as Tensor
    const features = norm(normOut(y).silu().mean([2, 3]))
    return { features, logits: Object.fromEntries(heads.map(([name, head]) => [name, head(features)])), maps }
  }
}
