import { attention, concat } from '../../core/functions.ts'
import { dims, range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { type Layer, layerNorm, linear } from '../../nn/layers.ts'
import { normal, type Params } from '../../nn/params.ts'
import type { IpAdapterConfig } from './config.ts'

/**
 * What CLIP's vision encoder makes of a picture → tokens of the context's width, [B, M, contextWidth].
 *
 * `plain` takes the projected embedding [B, D] (`imageEmbeds`), the others the state before the last layer [B, N, D]
 * (`hiddenStates.at(-2)`). Keys as the published files have them under `image_proj.`.
 */
export function imagePromptProjection(p: Params, config: IpAdapterConfig): Layer {
  switch (config.kind) {
    case 'plain':
      return tokens(p, config)
    case 'full':
      return everyToken(p, config)
    case 'plus':
      return resampler(p, config)
  }
}

/** The embedding as some tokens (Ye et al. 2023, section 3.2.1). */
function tokens(p: Params, { embedWidth, contextWidth, tokens: count }: IpAdapterConfig & { kind: 'plain' }): Layer {
  const project = linear(p.at('proj'), embedWidth, count * contextWidth)
  const norm = layerNorm(p.at('norm'), contextWidth)
  return (embeds) => norm(project(embeds).reshape([-1, count, contextWidth]))
}

/** Every token of the picture by a small network: the adapter for whole faces. */
function everyToken(p: Params, { embedWidth, contextWidth }: IpAdapterConfig): Layer {
  const project = linear(p.at('proj', 0), embedWidth, embedWidth)
  const out = linear(p.at('proj', 2), embedWidth, contextWidth)
  const norm = layerNorm(p.at('proj', 3), contextWidth)
  return (states) => norm(out(project(states).gelu()))
}

/** Learnt queries that attend to the picture's tokens and to themselves (Alayrac et al. 2022, Flamingo, section 2.1). */
function resampler(p: Params, config: IpAdapterConfig & { kind: 'plus' }): Layer {
  const { embedWidth, contextWidth, width, depth, tokens: count } = config
  const queries = p.get('latents', [1, count, width], normal(width ** -0.5))
  const projectIn = linear(p.at('proj_in'), embedWidth, width)
  const blocks = range(depth).map((i) => resamplerBlock(p.at('layers', i), config))
  const projectOut = linear(p.at('proj_out'), width, contextWidth)
  const norm = layerNorm(p.at('norm_out'), contextWidth)
  return (states) => {
    const { B } = dims(states, 'B N D', { D: embedWidth })
    const x = projectIn(states)
    return norm(projectOut(blocks.reduce((z, block) => block(z, x), queries.expand([B, count, width]))))
  }
}

function resamplerBlock(p: Params, { width, heads, headDim, inner }: IpAdapterConfig & { kind: 'plus' }) {
  const [attending, feeding] = [p.at(0), p.at(1)]
  const normX = layerNorm(attending.at('norm1'), width)
  const normQueries = layerNorm(attending.at('norm2'), width)
  const toQ = linear(attending.at('to_q'), width, heads * headDim, { bias: false })
  const toKv = linear(attending.at('to_kv'), width, 2 * heads * headDim, { bias: false })
  const toOut = linear(attending.at('to_out'), heads * headDim, width, { bias: false })
  const norm = layerNorm(feeding.at(0), width)
  const rise = linear(feeding.at(1), width, inner, { bias: false })
  const fall = linear(feeding.at(3), inner, width, { bias: false })
  return (queries: Tensor, x: Tensor): Tensor => {
    const normed = normQueries(queries)
    const [k, v] = toKv(concat([normX(x), normed], 1)).split(2, -1) as [Tensor, Tensor]
    const seen = queries.add(toOut(attention(toQ(normed), k, v, { heads })))
    return seen.add(fall(rise(norm(seen)).gelu()))
  }
}
