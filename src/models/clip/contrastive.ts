import { dims } from '../../core/shape.ts'
import { arange, type Tensor } from '../../core/tensor.ts'
import { fill, type Params } from '../../nn/params.ts'
import type { ClipConfig } from './config.ts'
import { clipTextWithProjection } from './text.ts'
import { clipVisionWithProjection } from './vision.ts'

/** How well texts and pictures fit. */
export interface ClipScores {
  /** [texts, projection_dim], of length 1. */
  readonly textEmbeds: Tensor
  /** [pictures, projection_dim], of length 1. */
  readonly imageEmbeds: Tensor
  /** [pictures, texts]: cosines times the scale. */
  readonly logits: Tensor
}

export interface ClipOptions {
  /** The scale goes no further; Radford et al. 2021 (section 2.5) keep it to 100 in training. */
  readonly maxScale?: number
}

/** Both halves of CLIP (Radford et al. 2021, figure 3), with the keys of transformers' `CLIPModel`. */
export function clip(p: Params, config: ClipConfig, { maxScale = Infinity }: ClipOptions = {}) {
  const { projection_dim, initializer_factor } = config
  const scale = p.get('logit_scale', [], fill(config.logit_scale_init_value))
  const encodeText = clipTextWithProjection(p, { ...config.text_config, projection_dim, initializer_factor })
  const encodeImage = clipVisionWithProjection(p, { ...config.vision_config, projection_dim, initializer_factor })
  /** tokens [texts, N], images [pictures, C, H, W]. */
  return (tokens: Tensor, images: Tensor, mask?: Tensor): ClipScores => {
    const textEmbeds = unit(encodeText(tokens, mask).textEmbeds)
    const imageEmbeds = unit(encodeImage(images).imageEmbeds)
    const factor = maxScale === Infinity ? scale.exp() : scale.exp().minimum(maxScale)
    return { textEmbeds, imageEmbeds, logits: imageEmbeds.matmul(textEmbeds, { transB: true }).mul(factor) }
  }
}

const unit = (x: Tensor): Tensor => x.div(x.square().sum(-1, true).sqrt())

/** The mean of both cross-entropies where text i belongs to picture i (Radford et al. 2021, figure 3): logits [B, B] → []. */
export function contrastiveLoss(logits: Tensor): Tensor {
  const { B } = dims(logits, 'B B')
  const right = arange(B, 'i64').reshape([B, 1]).eq(arange(B, 'i64')).cast('f32')
  const both = logits.logSoftmax(0).add(logits.logSoftmax(1))
  return both
    .mul(right)
    .sum()
    .div(-2 * B)
}
