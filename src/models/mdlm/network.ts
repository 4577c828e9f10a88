import { attention, concat } from '../../core/functions.ts'
import * as core from '../../core/index.ts'
import { dims, range } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { type Layer, linear } from '../../nn/layers.ts'
import { gatedSum, modulate } from '../../nn/modulation.ts'
import { onesInit, type Params, uniform, zerosInit } from '../../nn/params.ts'
import { rotateHalves, tokenRotation } from '../../nn/positions.ts'
import { sinusoidal } from '../../nn/time.ts'
import type { MdlmConfig } from './config.ts'

/** Keys and values of the tokens of finished blocks: [B, M, D] each, one pair for each block of the network. */
export interface KeysAndValues {
  readonly k: Tensor
  readonly v: Tensor
}

export interface MdlmOptions {
  /** Where each token stands; 0, 1, … unless given. Several tokens may share a place: block diffusion sees a text twice. */
  readonly positions?: readonly number[]
  /** The same as symbols: cosines and sines [N, headDim/2], where a program serves all places. */
  readonly rotation?: { readonly cos: Tensor; readonly sin: Tensor }
  /** [1, 1, N, M + N], added to the scores: which tokens see which. All see all unless given. */
  readonly mask?: Tensor
  /** Of the tokens before: all are seen but as the mask has it, in a causal network too. Their keys have been turned. */
  readonly past?: readonly KeysAndValues[]
}

export interface MdlmOutput {
  /** [B, N, V]. */
  readonly logits: Tensor
  /** Of these tokens, by block of the network, for later ones to see; keys turned. */
  readonly own: readonly KeysAndValues[]
}

/** tokens i64 [B, N], sigma f32 [B] (total noise; left aside without `time_conditioning`) → logits. */
export type Mdlm = (tokens: Tensor, sigma?: Tensor, options?: MdlmOptions) => MdlmOutput

/** Channels of the encoded noise level. */
const TIME = 256

/**
 * The transformer of MDLM (Sahoo et al. 2024), SEDD (Lou et al. 2024) and BD3-LM (Arriola et al. 2025): DiT's blocks over tokens with
 * rotary positions, modulated by the noise level. The keys are the published checkpoints': under `backbone` but for SEDD's.
 */
export function mdlm(p: Params, config: MdlmConfig): Mdlm {
  const { vocab_size: V, hidden_dim: width, cond_dim, n_blocks, n_heads: heads, time_conditioning, causal } = config
  const at = config.model_type === 'sedd' ? p : p.at('backbone')
  const table = at.at('vocab_embed').get('embedding', [V, width], uniform(1 / Math.sqrt(width)))
  const embed = at.at('sigma_map', 'mlp')
  const [first, second] = [linear(embed.at(0), TIME, cond_dim), linear(embed.at(2), cond_dim, cond_dim)]
  const blocks = range(n_blocks).map((i) => textBlock(at.at('blocks', i), config))
  const last = at.at('output_layer')
  const finalNorm = weightedNorm(last.at('norm_final'), width)
  const finalModulation = linear(last.at('adaLN_modulation'), cond_dim, 2 * width, { init: zerosInit })
  const head = linear(last.at('linear'), width, V, { init: zerosInit })
  return (tokens, sigma, { positions, rotation, mask, past } = {}) => {
    const { B, N } = dims(tokens, 'B N')
    const level = time_conditioning && sigma ? sigma : constant(new Float32Array(B), [B])
    const condition = second(first(sinusoidal(level, TIME, { cosineFirst: true, frequencyShift: 0 })).silu()).silu()
    const { cos, sin } = rotation ?? constantsOf(tokenRotation(positions ?? range(N), width / heads))
    const turn = (x: Tensor) => rotateHalves(x, cos, sin, heads)
    const own: KeysAndValues[] = []
    const end = blocks.reduce(
      (x, run, i) => {
        const made = run(x, condition, { turn, mask, causal, past: past?.[i] })
        own.push(made.own)
        return made.x
      },
      core.embedding(table, tokens),
    )
    const [shift, scale] = finalModulation(condition).split(2, 1) as [Tensor, Tensor]
    return { logits: head(modulate(finalNorm(end), shift, scale)), own }
  }
}

const constantsOf = ({ cos, sin }: ReturnType<typeof tokenRotation>) => ({
  cos: constant(cos.data, cos.shape),
  sin: constant(sin.data, sin.shape),
})

interface BlockInput {
  readonly turn: Layer
  readonly mask: Tensor | undefined
  readonly causal: boolean
  readonly past: KeysAndValues | undefined
}

/** One block: x [B, N, D], condition [B, C]. */
function textBlock(p: Params, { hidden_dim: width, cond_dim, n_heads: heads }: MdlmConfig) {
  const norm1 = weightedNorm(p.at('norm1'), width)
  const toAll = linear(p.at('attn_qkv'), width, 3 * width, { bias: false })
  const toOut = linear(p.at('attn_out'), width, width, { bias: false })
  const norm2 = weightedNorm(p.at('norm2'), width)
  const [into, out] = [linear(p.at('mlp', 0), width, 4 * width), linear(p.at('mlp', 2), 4 * width, width)]
  const modulations = linear(p.at('adaLN_modulation'), cond_dim, 6 * width, { init: zerosInit })
  return (x: Tensor, condition: Tensor, { turn, mask, causal, past }: BlockInput) => {
    const [shift, scale, gate, shiftFeed, scaleFeed, gateFeed] = modulations(condition).split(6, 1) as Six
    const [q, k, v] = toAll(modulate(norm1(x), shift, scale)).split(3, 2) as [Tensor, Tensor, Tensor]
    const own = { k: turn(k), v }
    const [keys, values] = past ? [concat([past.k, own.k], 1), concat([past.v, v], 1)] : [own.k, v]
    const seen = toOut(attention(turn(q), keys, values, { heads, causal: causal && !past, ...(mask && { mask }) }))
    const y = gatedSum(x, gate, seen)
    return { x: gatedSum(y, gateFeed, out(into(modulate(norm2(y), shiftFeed, scaleFeed)).gelu('tanh'))), own }
  }
}

type Six = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]

/** Layer norm with a weight and no bias. */
function weightedNorm(p: Params, width: number): Layer {
  const weight = p.get('weight', [width], onesInit)
  return (x) => core.layerNorm(x, weight)
}
