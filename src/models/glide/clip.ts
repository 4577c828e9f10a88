import { attention, concat, conv, embedding, layerNorm as norm, linear as product } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { normal, onesInit, type Params, zerosInit } from '../../nn/params.ts'
import type { GlideClipConfig } from './config.ts'

/** Mean and deviation of levels of 0 … 255, by channel, as the noised CLIP takes them out. */
const [means, deviations] = [
  [122.77093945, 116.74601272, 104.09373519],
  [68.50053285, 66.63215831, 70.32316309],
]

/** Added to the score of what is not to be seen. */
const HIDDEN = -1e10

/** A picture and its noise: pictures [B, 3, S, S] in [−1, 1], timestep i64 [B] of 0 … 999 → embeddings of length 1, [B, n_embd]. */
export type GlideImageEncoder = (pictures: Tensor, timestep: Tensor) => Tensor

/** GLIDE's noised CLIP, the pictures' side (Nichol et al. 2021, section 2.4): the first token is the noise's timestep. */
export function glideClipImage(p: Params, config: GlideClipConfig): GlideImageEncoder {
  const {
    n_head_image: heads,
    n_head_state_image: state,
    patch_size: patch,
    image_size: side,
    n_xf_blocks_image: blocks,
  } = config
  const width = heads * state
  const places = (side / patch) ** 2
  const at = p.at('blocks')
  const times = at.at('input').get('w_t', [config.n_timesteps, width], normal(width ** -0.5))
  const patches = at.at('input').get('patch_proj', [width, 3, patch, patch], normal(Math.sqrt(2 / (width * patch ** 2))))
  const positions = at.at('input').get('w_pos', [1 + places, width], normal(width ** -0.5))
  const normIn = layerNorm(at.at('input', 'ln'), width)
  const layers = Array.from({ length: blocks }, (_, i) => block(at.at(`block_${i}`), width, heads, 2 * blocks))
  const normOut = layerNorm(at.at('output', 'ln'), width)
  const project = affine(at.at('output', 'f'), width, config.n_embd, { bias: false })
  const [mean, std] = [constant(means, [1, 3, 1, 1]), constant(deviations, [1, 3, 1, 1])]
  return (pictures, timestep) => {
    const { B } = dims(pictures, 'B C H W', { C: 3, H: side, W: side })
    const levels = pictures.add(1).mul(127.5).sub(mean).div(std)
    const seen = conv(levels, patches, { stride: patch }).reshape([B, width, places]).transpose(0, 2, 1)
    const tokens = concat([embedding(times, timestep).unsqueeze(1), seen], 1).add(positions)
    const y = layers.reduce((x, layer) => layer(x), normIn(tokens))
    return unit(project(normOut(y.slice(1, 0, 1).squeeze(1))))
  }
}

/** The texts' side: tokens i64 [B, max_text_len], the place of each one's end i64 [B] → embeddings of length 1, [B, n_embd]. */
export function glideClipText(p: Params, config: GlideClipConfig) {
  const { n_head_text: heads, n_head_state_text: state, max_text_len: N, n_xf_blocks_text: blocks } = config
  const width = heads * state
  const at = p.at('blocks')
  const vocabulary = at.at('input').get('w_voc', [config.n_vocab, width], normal(0.02))
  const positions = at.at('input').get('w_pos', [N, width], normal(0.01))
  const layers = Array.from({ length: blocks }, (_, i) => block(at.at(`block_${i}`), width, heads, 2 * blocks))
  const normOut = layerNorm(at.at('output', 'ln'), width)
  const project = affine(at.at('output', 'f'), width, config.n_embd, { bias: false })
  const scores = Float32Array.from({ length: N * N }, (_, i) => (i % N > Math.floor(i / N) ? HIDDEN : 0))
  const causal = constant(scores, [1, 1, N, N])
  return (tokens: Tensor, end: Tensor): Tensor => {
    const { B } = dims(tokens, 'B N', { N })
    const y = layers.reduce((x, layer) => layer(x, causal), embedding(vocabulary, tokens).add(positions))
    const rows = constant(
      Float32Array.from({ length: N }, (_, i) => i),
      [1, N],
    )
    const chosen = rows
      .eq(end.cast('f32').reshape([B, 1]))
      .cast('f32')
      .unsqueeze(2)
    return unit(project(normOut(y.mul(chosen).sum(1))))
  }
}

const unit = (x: Tensor): Tensor => x.div(x.square().sum(-1, true).sqrt().add(1e-12))

/** Attention and feed-forward, each after a norm and with its residual; keys have no bias. */
function block(p: Params, width: number, heads: number, depth: number) {
  const own = p.at('f_attn')
  const norm1 = layerNorm(own.at('ln'), width)
  const spread = { std: width ** -0.5 }
  const [toQ, toK, toV] = [
    affine(own.at('f_q'), width, width, spread),
    affine(own.at('f_k'), width, width, { ...spread, bias: false }),
    affine(own.at('f_v'), width, width, spread),
  ]
  const small = { std: 1 / (Math.sqrt(width) * depth) }
  const out = affine(own.at('f_c'), width, width, small)
  const feed = p.at('f_mlp')
  const norm2 = layerNorm(feed.at('ln'), width)
  const wide = affine(feed.at('f_1'), width, 4 * width, { std: Math.sqrt(2 / (4 * width)) })
  const narrow = affine(feed.at('f_2'), 4 * width, width, small)
  return (x: Tensor, mask?: Tensor): Tensor => {
    const r = norm1(x)
    const y = x.add(out(attention(toQ(r), toK(r), toV(r), mask ? { heads, mask } : { heads })))
    return y.add(narrow(wide(norm2(y)).gelu()))
  }
}

function layerNorm(p: Params, width: number) {
  const [weight, bias] = [p.get('g', [width], onesInit), p.get('b', [width], zerosInit)]
  return (x: Tensor): Tensor => norm(x, weight, bias, 1e-5)
}

function affine(p: Params, inputs: number, outputs: number, { std = Math.sqrt(2 / (inputs + outputs)), bias = true } = {}) {
  const weight = p.get('w', [outputs, inputs], normal(std))
  const b = bias ? p.get('b', [outputs], zerosInit) : undefined
  return (x: Tensor): Tensor => product(x, weight, b)
}
