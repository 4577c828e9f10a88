import { ArgumentError } from '../../core/errors.ts'
import { concat } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { feedForward, feedForwards } from '../../nn/feed-forward.ts'
import { type Layer, layerNorm, linear, plainLayerNorm } from '../../nn/layers.ts'
import { gatedSum, modulate, modulation } from '../../nn/modulation.ts'
import type { Init, Params } from '../../nn/params.ts'
import { patchEmbedding, unpatchify } from '../../nn/patches.ts'
import type { Rotation } from '../../nn/positions.ts'
import { sinusoidal, timeEmbedding } from '../../nn/time.ts'
import { tokenAttention } from '../../nn/token-attention.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { CogVideoXConfig } from './config.ts'
import { filmPositions, filmRotation } from './positions.ts'

export interface CogVideoXConditions {
  /** The text's states [B, M, text_embed_dim]. */
  readonly context: Tensor
  /** f32 [B]: what the network is told of its first frame's offset, where it has `ofs_embed_dim`. */
  readonly offset?: Tensor | undefined
}

/** sample [B, T, C, H, W] (frames before channels), timestep f32 [B] → [B, T, out_channels, H, W]. */
export type CogVideoXTransformer = (sample: Tensor, timestep: Tensor, conditions: CogVideoXConditions) => Tensor

/**
 * CogVideoX's transformer (Yang et al. 2024, section 2.2): text and film in one stream, with modulations of their own (expert adaptive
 * layer norm). Keys as in diffusers' `CogVideoXTransformer3DModel`.
 */
export function cogVideoXTransformer(p: Params, config: CogVideoXConfig): CogVideoXTransformer {
  const { num_attention_heads: heads, in_channels, patch_size: patch, time_embed_dim: timeWidth, norm_eps: eps } = config
  const width = heads * config.attention_head_dim
  const pairs = config.patch_size_t ?? 1
  const outputs = config.out_channels ?? in_channels
  const norm = (at: Params): Layer => (config.norm_elementwise_affine ? layerNorm(at, width, eps) : plainLayerNorm(eps))
  const embed = p.at('patch_embed')
  const patches =
    config.patch_size_t === null
      ? patchEmbedding(embed.at('proj'), in_channels, width, patch, { bias: config.patch_bias })
      : linear(embed.at('proj'), in_channels * patch * patch * pairs, width)
  const embedText = linear(embed.at('text_proj'), config.text_embed_dim, width)
  const positions = positionsOf(embed, config, width)
  const encoded = { cosineFirst: config.flip_sin_to_cos, frequencyShift: config.freq_shift }
  const activation = config.timestep_activation_fn
  const timeOf = timeEmbedding(p.at('time_embedding'), width, timeWidth, { activation })
  const { ofs_embed_dim: offsetWidth } = config
  const offsetOf =
    offsetWidth === null ? undefined : timeEmbedding(p.at('ofs_embedding'), offsetWidth, offsetWidth, { activation })
  const blocks = Array.from({ length: config.num_layers }, (_, i) => block(p.at('transformer_blocks', i), config, width, norm))
  const finalNorm = norm(p.at('norm_final'))
  const lastNorm = norm(p.at('norm_out', 'norm'))
  const last = linear(p.at('norm_out', 'linear'), timeWidth, 2 * width)
  const project = linear(p.at('proj_out'), width, patch * patch * pairs * outputs)

  return (sample, timestep, { context, offset }) => {
    const { B, T, H, W } = dims(sample, 'B T C H W', { C: in_channels })
    const { M } = dims(context, 'B M D')
    if (T % pairs !== 0) throw new ArgumentError(`CogVideoX: ${T} latent frames do not divide into patches of ${pairs}`)
    const grid = [H / patch, W / patch] as const
    let time = timeOf(sinusoidal(timestep, width, encoded))
    if (offsetOf && offset) time = time.add(offsetOf(sinusoidal(offset, offsetWidth as number, encoded)))
    const tokens =
      config.patch_size_t === null
        ? patches(sample.reshape([B * T, in_channels, H, W])).reshape([B, T * grid[0] * grid[1], width])
        : patches(filmPatches(sample, pairs, patch))
    const joined = positions(concat([embedText(context), tokens], 1), { M, T, H, W })
    const rotation = config.use_rotary_positional_embeddings ? filmRotation(T / pairs, grid, M, config) : undefined
    const y = blocks.reduce((x, run) => run(x, M, time, rotation), joined)
    const [shift, scale] = last(time.silu()).split(2, 1) as [Tensor, Tensor]
    const film = project(modulate(lastNorm(finalNorm(y.slice(1, M))), shift, scale))
    if (config.patch_size_t !== null) return fromFilmPatches(film, { pairs, patch, T, H, W, outputs })
    const frames = film.reshape([B * T, grid[0] * grid[1], patch * patch * outputs])
    return unpatchify(frames, grid[0], grid[1], patch, 'channels first').reshape([B, T, outputs, H, W])
  }
}

interface FilmSize {
  readonly M: number
  readonly T: number
  readonly H: number
  readonly W: number
}

/** Adds positions to the tokens: sines and cosines, those of the checkpoint, or none. */
function positionsOf(p: Params, config: CogVideoXConfig, width: number): (tokens: Tensor, size: FilmSize) => Tensor {
  const {
    patch_size: patch,
    sample_height,
    sample_width,
    max_text_seq_length: texts,
    use_learned_positional_embeddings: learned,
  } = config
  const of = (T: number, H: number, W: number) => filmPositions(width, T, [Math.floor(H / patch), Math.floor(W / patch)], config)
  if (config.use_rotary_positional_embeddings && !learned) return (tokens) => tokens
  const trained = Math.floor((config.sample_frames - 1) / config.temporal_compression_ratio) + 1
  const rows = texts + trained * Math.floor(sample_height / patch) * Math.floor(sample_width / patch)
  const init: Init = (shape) => {
    const values = NdArray.zeros(shape, 'f32')
    values.data.set(of(trained, sample_height, sample_width).data, texts * width)
    return values
  }
  const table = learned ? p.get('pos_embedding', [1, rows, width], init).stopGradient() : undefined
  return (tokens, { M, T, H, W }) => {
    if (M !== texts) throw new ArgumentError(`CogVideoX: this network's positions are for ${texts} tokens of text; got ${M}`)
    if (table && (H !== sample_height || W !== sample_width))
      throw new ArgumentError(
        `CogVideoX: this network has positions for latents of ${sample_width}×${sample_height} alone; got ${W}×${H}`,
      )
    if (table && T === trained) return tokens.add(table)
    const { data, shape } = of(T, H, W)
    return tokens.add(constant(data, [1, ...shape]).padAxis(1, M, 0))
  }
}

/** Films as patches of several latent frames, channels first: [B, T, C, H, W] → [B, N, C · pairs · p · p]. */
function filmPatches(x: Tensor, pairs: number, patch: number): Tensor {
  const { B, T, C, H, W } = dims(x, 'B T C H W')
  const apart = x.reshape([B, T / pairs, pairs, C, H / patch, patch, W / patch, patch])
  return apart.transpose(0, 1, 4, 6, 3, 2, 5, 7).reshape([B, (T / pairs) * (H / patch) * (W / patch), C * pairs * patch * patch])
}

function fromFilmPatches(
  x: Tensor,
  { pairs, patch, T, H, W, outputs }: Omit<FilmSize, 'M'> & { pairs: number; patch: number; outputs: number },
): Tensor {
  const { B } = dims(x, 'B N D')
  const apart = x.reshape([B, T / pairs, H / patch, W / patch, outputs, pairs, patch, patch])
  return apart.transpose(0, 1, 5, 4, 2, 6, 3, 7).reshape([B, T, outputs, H, W])
}

/** Text and film [B, M + N, D], the first M tokens text's: each modulated by its own part of the time's. */
function block(p: Params, config: CogVideoXConfig, width: number, norm: (at: Params) => Layer) {
  const { num_attention_heads: heads, time_embed_dim: timeWidth, attention_bias: bias } = config
  const parts = ['norm1', 'norm2'].map((key) => ({
    of: modulation(p.at(key), timeWidth, width, 6),
    norm: norm(p.at(key, 'norm')),
  })) as [Part, Part]
  const attend = tokenAttention(p.at('attn1'), { width, heads, bias, qkNorm: 'layer_norm' })
  const feed = feedForward(p.at('ff'), width, feedForwards[config.activation_fn])
  const step = (x: Tensor, M: number, time: Tensor, { of, norm }: Part, layer: Layer): Tensor => {
    const [shift, scale, gate, shiftText, scaleText, gateText] = of(time) as Six
    const [text, film] = [x.slice(1, 0, M), x.slice(1, M)]
    const y = layer(concat([modulate(norm(text), shiftText, scaleText), modulate(norm(film), shift, scale)], 1))
    return concat([gatedSum(text, gateText, y.slice(1, 0, M)), gatedSum(film, gate, y.slice(1, M))], 1)
  }
  return (x: Tensor, M: number, time: Tensor, rotation: Rotation | undefined): Tensor => {
    const y = step(x, M, time, parts[0], (tokens) => attend(tokens, tokens, undefined, rotation))
    return step(y, M, time, parts[1], feed)
  }
}

interface Part {
  readonly of: (condition: Tensor) => Tensor[]
  readonly norm: Layer
}
type Six = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
