import { attention } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { embedding, layerNorm, linear } from '../../nn/layers.ts'
import { normal, type Params } from '../../nn/params.ts'
import type { GlideConfig } from './config.ts'

/** What a text becomes for the U-Net. */
export interface GlideText {
  /** Added to the time's embedding: [B, 4 · num_channels]. */
  readonly time: Tensor
  /** What pixels attend to: [B, text_ctx, xf_width]. */
  readonly states: Tensor
}

/**
 * GLIDE's text transformer (Nichol et al. 2021, section 3): tokens i64 [B, text_ctx], mask f32 [B, text_ctx], 0 where a padding embedding
 * stands for the token. No token is hidden from another; the last one's state, mostly padding's, is added to the time.
 */
export function glideText(p: Params, config: GlideConfig) {
  const { text_ctx: N, xf_width: width, xf_heads: heads, n_vocab } = config
  const embed = embedding(p.at('token_embedding'), n_vocab, width, { init: normal(0.02) })
  const positions = p.get('positional_embedding', [N, width], normal(0.01))
  const padding = p.get('padding_embedding', [N, width], normal(0.01))
  const blocks = Array.from({ length: config.xf_layers }, (_, i) => block(p.at('transformer', 'resblocks', i), width, heads))
  const norm = config.xf_final_ln ? layerNorm(p.at('final_ln'), width) : (x: Tensor) => x
  const project = linear(p.at('transformer_proj'), width, 4 * config.num_channels)
  return (tokens: Tensor, mask: Tensor): GlideText => {
    const { B } = dims(tokens, 'B N', { N })
    const seen = mask.reshape([B, N, 1])
    const embedded = embed(tokens)
      .add(positions)
      .mul(seen)
      .add(padding.mul(seen.neg().add(1)))
    const states = norm(blocks.reduce((x, layer) => layer(x), embedded))
    return { states, time: project(states.slice(1, N - 1, N).squeeze(1)) }
  }
}

function block(p: Params, width: number, heads: number) {
  const [norm1, norm2] = [layerNorm(p.at('ln_1'), width), layerNorm(p.at('ln_2'), width)]
  const projectIn = linear(p.at('attn', 'c_qkv'), width, 3 * width)
  const projectOut = linear(p.at('attn', 'c_proj'), width, width)
  const [wide, narrow] = [linear(p.at('mlp', 'c_fc'), width, 4 * width), linear(p.at('mlp', 'c_proj'), 4 * width, width)]
  return (x: Tensor): Tensor => {
    const [q, k, v] = partsOfHeads(projectIn(norm1(x)), heads, 3) as [Tensor, Tensor, Tensor]
    const y = x.add(projectOut(attention(q, k, v, { heads })))
    return y.add(narrow(wide(norm2(y)).gelu()))
  }
}

/** A projection whose channels are heads of so many parts each: [B, N, heads · parts · d] → the parts, [B, N, heads · d]. */
export function partsOfHeads(x: Tensor, heads: number, parts: number): Tensor[] {
  const { B, N, C } = dims(x, 'B N C')
  const split = x.reshape([B, N, heads, parts, C / heads / parts])
  return Array.from({ length: parts }, (_, i) => split.slice(3, i, i + 1).reshape([B, N, C / parts]))
}
