import { ArgumentError } from '../../core/errors.ts'
import { dims } from '../../core/shape.ts'
import { arange, type Tensor } from '../../core/tensor.ts'
import { embedding, layerNorm } from '../../nn/layers.ts'
import { normal, type Params } from '../../nn/params.ts'
import type { ClipTextConfig } from './config.ts'
import { dense, encoder } from './encoder.ts'

/** What a text becomes. */
export interface ClipTextOutput {
  /** [B, N, D], after the last layer and the final norm. */
  readonly lastHiddenState: Tensor
  /** [B, N, D] each, without the final norm: the embedded tokens, then the result of every layer. */
  readonly hiddenStates: readonly Tensor[]
  /** [B, D]: the last hidden state at the end of the text. */
  readonly pooled: Tensor
  /**
   * The hidden state `skip` layers before the last, [B, N, D]. Stable Diffusion 1 and 2 take it through the final norm (their
   * clip_skip is `skip`); XL takes skip 1 without it.
   */
  layer(skip: number, options: { readonly norm: boolean }): Tensor
}

/** tokens i64 or i32 [B, N], mask of the same shape (1 a token to attend to, 0 not) → what the text becomes. */
export type ClipText = (tokens: Tensor, mask?: Tensor) => ClipTextOutput

/** CLIP's text transformer (Radford et al. 2021), with the keys of transformers' `CLIPTextModel`. */
export function clipText(p: Params, config: ClipTextConfig): ClipText {
  const { hidden_size: D, vocab_size: V, max_position_embeddings: longest, eos_token_id: end } = config
  const at = p.at('text_model')
  const start = normal(0.02 * config.initializer_factor)
  const embedToken = embedding(at.at('embeddings', 'token_embedding'), V, D, { init: start })
  const positions = at.at('embeddings', 'position_embedding').get('weight', [longest, D], start)
  const encode = encoder(at.at('encoder'), config)
  const finalNorm = layerNorm(at.at('final_layer_norm'), D, config.layer_norm_eps)

  return (tokens, mask) => {
    const { B, N } = dims(tokens, 'B N')
    if (N > longest) throw new ArgumentError(`clipText: ${N} tokens, and the model has places for ${longest}: give it chunks`)
    const embedded = embedToken(tokens).add(positions.slice(0, 0, N))
    const hiddenStates = encode(embedded, { causal: true, mask: mask && keysOnly(mask, B, N) })
    const lastHiddenState = finalNorm(hiddenStates.at(-1) as Tensor)
    return {
      lastHiddenState,
      hiddenStates,
      pooled: lastHiddenState.reshape([B * N, D]).gather(endOf(tokens, end).add(arange(B, 'i64').mul(N)), 0),
      layer(skip, { norm }) {
        const state = hiddenStates[hiddenStates.length - 1 - skip]
        if (!state || skip < 0)
          throw new ArgumentError(`clipText: ${skip} layers skipped of ${config.num_hidden_layers}: give 0 to that many`)
        return norm ? finalNorm(state) : state
      },
    }
  }
}

/**
 * Where each text ends: [B, N] → i64 [B], the first place of the end token. Configs from before June 2023 have 2 for it, a
 * fault which the reference keeps for them: there it is the first place of the greatest number, so that with these an added
 * token (numbered beyond the end token) is taken for the end.
 */
function endOf(tokens: Tensor, end: number): Tensor {
  const score = end === 2 ? tokens : tokens.eq(end)
  return score.cast('f32').argmax(1)
}

/** [B, N] of 1 and 0 → [B, 1, N, N], −10⁹ where a key is not to be seen. */
function keysOnly(mask: Tensor, B: number, N: number): Tensor {
  dims(mask, 'B N', { B, N })
  return mask.cast('f32').sub(1).mul(1e9).reshape([B, 1, 1, N]).expand([B, 1, N, N])
}

/** As `clipText`, and its projection into the space shared with pictures: transformers' `CLIPTextModelWithProjection`. */
export function clipTextWithProjection(p: Params, config: ClipTextConfig) {
  const encode = clipText(p, config)
  const std = config.hidden_size ** -0.5 * config.initializer_factor
  const project = dense(p.at('text_projection'), config.hidden_size, config.projection_dim, std, { bias: false })
  /** `textEmbeds` is [B, projection_dim]. */
  return (tokens: Tensor, mask?: Tensor): ClipTextOutput & { readonly textEmbeds: Tensor } => {
    const output = encode(tokens, mask)
    return { ...output, textEmbeds: project(output.pooled) }
  }
}
