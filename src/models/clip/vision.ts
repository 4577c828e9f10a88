import { concat } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { conv, layerNorm } from '../../nn/layers.ts'
import { normal, type Params } from '../../nn/params.ts'
import type { ClipVisionConfig } from './config.ts'
import { dense, encoder } from './encoder.ts'

/** What a picture becomes. N is 1 + (image_size / patch_size)²: the class token, then the patches row by row. */
export interface ClipVisionOutput {
  /** [B, N, D], after the last layer. */
  readonly lastHiddenState: Tensor
  /** [B, N, D] each: the embedded patches after the first norm, then the result of every layer. */
  readonly hiddenStates: readonly Tensor[]
  /** [B, D]: the class token after the last norm. */
  readonly pooled: Tensor
}

/** images [B, num_channels, image_size, image_size], with CLIP's mean and deviation taken out → what they become. */
export type ClipVision = (images: Tensor) => ClipVisionOutput

/** Mean and standard deviation of the pictures that CLIP learnt from, by channel, for levels in [0, 1]. */
export const clipPixels = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
} as const

/** CLIP's vision transformer (Dosovitskiy et al. 2021; Radford et al. 2021), with the keys of transformers' `CLIPVisionModel`. */
export function clipVision(p: Params, config: ClipVisionConfig): ClipVision {
  const { hidden_size: D, num_channels: C, image_size: side, patch_size: patch, layer_norm_eps: eps } = config
  const patches = Math.floor(side / patch) ** 2
  const at = p.at('vision_model')
  const start = normal(config.initializer_range * config.initializer_factor)
  const classToken = at.at('embeddings').get('class_embedding', [D], normal(D ** -0.5 * config.initializer_factor))
  const embedPatches = conv(at.at('embeddings', 'patch_embedding'), C, D, patch, { stride: patch, bias: false, init: start })
  const positions = at.at('embeddings', 'position_embedding').get('weight', [patches + 1, D], start)
  // The reference's spelling.
  const normIn = layerNorm(at.at('pre_layrnorm'), D, eps)
  const encode = encoder(at.at('encoder'), config)
  const normOut = layerNorm(at.at('post_layernorm'), D, eps)

  return (images) => {
    const { B } = dims(images, 'B C H W', { C, H: side, W: side })
    const tokens = embedPatches(images).reshape([B, D, patches]).transpose(0, 2, 1)
    const embedded = concat([classToken.reshape([1, 1, D]).expand([B, 1, D]), tokens], 1).add(positions)
    const hiddenStates = encode(normIn(embedded), { causal: false })
    const lastHiddenState = hiddenStates.at(-1) as Tensor
    return { lastHiddenState, hiddenStates, pooled: normOut(lastHiddenState.slice(1, 0, 1).reshape([B, D])) }
  }
}

/** As `clipVision`, and its projection into the space shared with texts: transformers' `CLIPVisionModelWithProjection`. */
export function clipVisionWithProjection(p: Params, config: ClipVisionConfig) {
  const encode = clipVision(p, config)
  const std = config.hidden_size ** -0.5 * config.initializer_factor
  const project = dense(p.at('visual_projection'), config.hidden_size, config.projection_dim, std, { bias: false })
  /** `imageEmbeds` is [B, projection_dim]. */
  return (images: Tensor): ClipVisionOutput & { readonly imageEmbeds: Tensor } => {
    const output = encode(images)
    return { ...output, imageEmbeds: project(output.pooled) }
  }
}
