import { ArgumentError } from '../../core/errors.ts'
import { concat } from '../../core/functions.ts'
import { dims, range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { activations } from '../../nn/activation.ts'
import { type Dropout, keepAll } from '../../nn/dropout.ts'
import { conv, groupNorm } from '../../nn/layers.ts'
import { type Params, zerosInit } from '../../nn/params.ts'
import { resnetBlock } from '../../nn/resnet.ts'
import { contextAttention } from '../../nn/spatial-attention.ts'
import { sinusoidal, timeEmbedding } from '../../nn/time.ts'
import { pooledText } from '../unet-condition/embeddings.ts'
import type { attentions, EfficientUNetConfig } from './config.ts'

/** Conditions besides the text. */
export interface EfficientExtras {
  /** The level of the noise in the picture that is enlarged, as a time: f32 [B]. */
  readonly classLabels?: Tensor | undefined
}

/** sample [B, in_channels, H, W], timestep f32 [B], context [B, M, encoder_hid_dim] → [B, out_channels, H, W]. */
export type EfficientUNet = (sample: Tensor, timestep: Tensor, context: Tensor, extras?: EfficientExtras) => Tensor

/** Skips are scaled so that they do not outweigh what comes from below, which is said to speed training up (appendix B.1). */
const SKIP = Math.SQRT1_2

interface Given {
  readonly time: Tensor
  readonly context: Tensor
}
type Block = (x: Tensor, given: Given) => Tensor

/**
 * A U-Net that works at low resolutions for the most part (Saharia et al. 2022, appendix B.1 and figures A.27 to A.30): a level halves
 * the resolution before its residual blocks and doubles it after them, has the more blocks the deeper it lies, and takes its skip
 * scaled by 1/√2. Text comes in three ways: pooled by attention into the time, and attended to after a layer norm. Where the paper is
 * silent it follows imagen-pytorch: skips are concatenated, the middle is a block, attention, and a block.
 */
export function efficientUnet(
  p: Params,
  config: EfficientUNetConfig,
  { dropout = keepAll }: { dropout?: Dropout } = {},
): EfficientUNet {
  const { block_out_channels: widths, encoder_hid_dim: textWidth, norm_num_groups: groups, norm_eps: eps, act_fn } = config
  const [first, deepest] = [widths[0] as number, widths.length - 1]
  const timeWidth = 4 * first
  const encode = (t: Tensor) => sinusoidal(t, first, { cosineFirst: true, frequencyShift: 0 })
  const embedTime = timeEmbedding(p.at('time_embedding'), first, timeWidth)
  const embedLevel = config.class_embed_type ? timeEmbedding(p.at('level_embedding'), first, timeWidth) : undefined
  const poolText = pooledText(p.at('text_embedding'), textWidth, timeWidth, config.addition_embed_type_num_heads)

  const resnets = (at: Params, count: number, inputs: number, outputs: number): Block[] =>
    range(count).map((i) => {
      const block = resnetBlock(at.at('resnets', i), i === 0 ? inputs : outputs, outputs, {
        ...{ groups, eps, activation: act_fn, timeWidth, timeForm: 'scale_shift' },
        dropout: { rate: config.dropout, apply: dropout },
      })
      return (x, { time }) => block(x, time)
    })
  const attend = (at: Params, channels: number, kind: (typeof attentions)[number]): Block => {
    if (kind === 'none') return (x) => x
    const look = contextAttention(at.at('attention'), channels, {
      ...{ headDim: config.attention_head_dim, groups, contextWidth: textWidth },
      ...{ contextNorm: 'layer_norm', onlyCross: kind === 'text' },
    })
    return (x, { context }) => look(x, context)
  }
  const at = <T>(values: T | readonly T[], i: number): T => (Array.isArray(values) ? (values[i] as T) : (values as T))
  const inTurn =
    (blocks: readonly Block[]): Block =>
    (x, given) =>
      blocks.reduce((y, block) => block(y, given), x)

  const convIn = conv(p.at('conv_in'), config.in_channels, first, 3, { padding: 1 })
  const down = widths.map((width, i) => {
    const own = p.at('down_blocks', i)
    const above = widths[Math.max(i - 1, 0)] as number
    const halve = i === 0 ? undefined : conv(own.at('downsample'), above, width, 3, { stride: 2, padding: 1 })
    const blocks = inTurn([
      ...resnets(own, at(config.layers_per_block, i), width, width),
      attend(own, width, at(config.attention, i)),
    ])
    return (x: Tensor, given: Given) => blocks(halve ? halve(x) : x, given)
  })
  const bottom = widths[deepest] as number
  const middle = inTurn([
    ...resnets(p.at('mid_block', 0), 1, bottom, bottom),
    attend(p.at('mid_block'), bottom, at(config.attention, deepest)),
    ...resnets(p.at('mid_block', 1), 1, bottom, bottom),
  ])
  const up = range(widths.length).map((i) => {
    const level = deepest - i
    const own = p.at('up_blocks', i)
    const width = widths[level] as number
    const blocks = inTurn([
      ...resnets(own, at(config.layers_per_block, level), 2 * width, width),
      attend(own, width, at(config.attention, level)),
    ])
    const grow = level === 0 ? undefined : conv(own.at('upsample'), width, widths[level - 1] as number, 3, { padding: 1 })
    return (x: Tensor, given: Given) => {
      const y = blocks(x, given)
      return grow ? grow(y.upsample([2, 2])) : y
    }
  })
  const normOut = groupNorm(p.at('conv_norm_out'), groups, first, eps)
  const convOut = conv(p.at('conv_out'), first, config.out_channels, 3, { padding: 1, init: zerosInit })

  return (sample, timestep, context, { classLabels: level } = {}) => {
    const { B, H, W } = dims(sample, 'B C H W', { C: config.in_channels })
    dims(context, 'B M D', { B, D: textWidth })
    if (!level !== !embedLevel)
      throw new ArgumentError(`the network is ${embedLevel ? '' : 'not '}told the noise level of its picture: classLabels`)
    const unit = 2 ** deepest
    if (H % unit !== 0 || W % unit !== 0) throw new ArgumentError(`sample: ${W} × ${H} is no multiple of ${unit} pixels`)
    const told = [embedTime(encode(timestep)), poolText(context), ...(level && embedLevel ? [embedLevel(encode(level))] : [])]
    const given = { time: activations[act_fn](told.reduce((a, b) => a.add(b))), context }
    const skips: Tensor[] = []
    let x = convIn(sample)
    for (const block of down) {
      x = block(x, given)
      skips.push(x)
    }
    x = middle(x, given)
    for (const block of up) x = block(concat([x, (skips.pop() as Tensor).mul(SKIP)], 1), given)
    return convOut(activations[act_fn](normOut(x)))
  }
}
