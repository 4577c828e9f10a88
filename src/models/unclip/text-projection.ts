import { concat } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { layerNorm, linear } from '../../nn/layers.ts'
import { type Params, uniform } from '../../nn/params.ts'
import type { UnclipTextConfig } from './config.ts'

/** What the decoder is conditioned on. */
export interface UnclipConditions {
  /** The picture's tokens, then the text's: [B, 4 + M, cross_attention_dim]. */
  readonly context: Tensor
  /** Added to the time's embedding: [B, time_embed_dim]. */
  readonly time: Tensor
}

export interface UnclipText {
  /** The picture's embedding and the text's [B, clip_embeddings_dim], the text's states [B, M, clip_embeddings_dim]. */
  readonly project: (imageEmbeds: Tensor, textEmbeds: Tensor, states: Tensor) => UnclipConditions
  /** What stands for the picture's embedding without guidance: [1, clip_embeddings_dim]. */
  readonly unconditional: Tensor
}

/**
 * Embeddings as DALL·E 2's decoder takes them (Ramesh et al. 2022, section 2.1): added to the time, and as four tokens before the
 * text's. Keys as diffusers' `UnCLIPTextProjModel`.
 */
export function unclipTextProjection(p: Params, config: UnclipTextConfig): UnclipText {
  const { clip_extra_context_tokens: tokens, clip_embeddings_dim: D, time_embed_dim: time, cross_attention_dim: width } = config
  const none = p.get('learned_classifier_free_guidance_embeddings', [D], uniform(D ** -0.5))
  const textToTime = linear(p.at('embedding_proj'), D, time)
  const imageToTime = linear(p.at('clip_image_embeddings_project_to_time_embeddings'), D, time)
  const imageToTokens = linear(p.at('clip_extra_context_tokens_proj'), D, tokens * width)
  const projectStates = linear(p.at('encoder_hidden_states_proj'), D, width)
  const normStates = layerNorm(p.at('text_encoder_hidden_states_norm'), width)
  return {
    unconditional: none.reshape([1, D]),
    project: (imageEmbeds, textEmbeds, states) => {
      const { B } = dims(imageEmbeds, 'B D', { D })
      // The tokens' axis lies last in the layer's output.
      const own = imageToTokens(imageEmbeds).reshape([B, width, tokens]).transpose(0, 2, 1)
      return {
        context: concat([own, normStates(projectStates(states))], 1),
        time: imageToTime(imageEmbeds).add(textToTime(textEmbeds)),
      }
    },
  }
}
