import { concat } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { type ClipTextConfig, clipTextWithProjection, type T5Config, t5Encoder } from '../../models/index.ts'
import type { Params } from '../../nn/params.ts'

/** A text encoder as it is traced: its config, and the scope of its parameters. */
interface Traced<C> {
  readonly config: C
  readonly params: Params
}

/** Each encoder's tokens, i64 [B, N], [B, N] and [B, M]. */
export interface TextTokens {
  readonly clips: readonly Tensor[]
  readonly t5: Tensor
}

/** What the transformer is conditioned on: context [B, N + M, joint], pooled [B, the projections' widths together]. */
export interface TextStates {
  readonly context: Tensor
  readonly pooled: Tensor
  /** The first encoder's states, [B, N, D]. */
  readonly states: Tensor
}

/**
 * The texts of Stable Diffusion 3 (Esser et al. 2024, section 4) as one graph, as `prompts` makes them text by text: CLIP's states
 * before the last layer side by side, zeros behind them, then T5's.
 *
 * @param kept f32 [B, encoders]: 0 where an encoder's part is zeros, as that of one that is left out
 */
export function traceTexts(clips: readonly Traced<ClipTextConfig>[], t5: Traced<T5Config>) {
  const encoders = clips.map(({ config, params }) => clipTextWithProjection(params, config))
  const third = t5Encoder(t5.params, t5.config)
  return (tokens: TextTokens, kept?: Tensor): TextStates => {
    const part = (x: Tensor, encoder: number): Tensor => {
      if (!kept) return x
      const { B } = dims(kept, 'B E')
      return x.mul(kept.slice(1, encoder, encoder + 1).reshape([B, ...x.shape.slice(1).map(() => 1)]))
    }
    const outputs = encoders.map((encode, i) => encode(tokens.clips[i] as Tensor))
    const states = outputs.map((output) => output.layer(1, { norm: false }))
    const side = concat(
      states.map((x, i) => part(x, i)),
      2,
    )
    const { D } = dims(side, 'B N D')
    const padding = t5.config.d_model - D
    const wide =
      padding > 0
        ? concat(
            [
              side,
              side
                .slice(2, 0, 1)
                .mul(0)
                .expand([...side.shape.slice(0, 2), padding]),
            ],
            2,
          )
        : side
    return {
      context: concat([wide, part(third(tokens.t5), clips.length)], 1),
      pooled: concat(
        outputs.map(({ textEmbeds }, i) => part(textEmbeds, i)),
        1,
      ),
      states: states[0] as Tensor,
    }
  }
}
