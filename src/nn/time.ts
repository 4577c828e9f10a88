import { ArgumentError } from '../core/errors.ts'
import { concat } from '../core/functions.ts'
import { constant, type Tensor } from '../core/tensor.ts'
import { type Activation, activations } from './activation.ts'
import { type Layer, linear } from './layers.ts'
import { normal, type Params } from './params.ts'

export interface SinusoidalOptions {
  /** Cosines before sines. */
  readonly cosineFirst?: boolean
  /** The last frequency is 1/period where this is 1 (Ho et al. 2020), one step short of it where it is 0 (Vaswani et al. 2017). */
  readonly frequencyShift?: number
  readonly period?: number
}

/**
 * Sines and cosines of t at falling frequencies (Vaswani et al. 2017, section 3.5): t f32 [B] → [B, width].
 * An odd width ends in a zero. Frequencies are rounded to float32 where PyTorch rounds them.
 */
export function sinusoidal(t: Tensor, width: number, options: SinusoidalOptions = {}): Tensor {
  const { cosineFirst = false, frequencyShift = 1, period = 10000 } = options
  const half = Math.floor(width / 2)
  const frequencies = Float32Array.from({ length: half }, (_, i) => {
    const exponent = Math.fround(Math.fround(-Math.log(period)) * i)
    return Math.exp(Math.fround(exponent / (half - frequencyShift)))
  })
  const angle = t.reshape([-1, 1]).mul(constant(frequencies, [1, half]))
  return concat(cosineFirst ? [angle.cos(), angle.sin()] : [angle.sin(), angle.cos()], 1).padAxis(1, 0, width % 2)
}

export interface FourierOptions {
  /** Standard deviation of the frequencies at the start. */
  readonly scale: number
  /** Of ln t, for noise levels; else of t. */
  readonly log?: boolean
  readonly cosineFirst?: boolean
}

/**
 * Sines and cosines of ln t at random frequencies (Tancik et al. 2020; Song et al. 2021): t > 0 f32 [B] → [B, 2·size].
 * The frequencies are part of the checkpoint but are not trained: no gradient reaches them.
 */
export function gaussianFourier(p: Params, size: number, { scale, log = true, cosineFirst = false }: FourierOptions): Layer {
  const frequencies = p.get('weight', [size], normal(scale)).stopGradient()
  return (t) => {
    const angle = (log ? t.log() : t).reshape([-1, 1]).mul(frequencies).mul(2).mul(Math.PI)
    return concat(cosineFirst ? [angle.cos(), angle.sin()] : [angle.sin(), angle.cos()], 1)
  }
}

export interface TimeEmbeddingOptions {
  readonly activation?: Activation
  /** Activation of the result. */
  readonly after?: Activation | undefined
  /** Width of a condition that is projected, without bias, and added to the encoded time (Meng et al. 2023, section 3). */
  readonly conditionWidth?: number | undefined
}

/** The two layers that turn an encoded time into what residual blocks take: [B, inputs], condition [B, conditionWidth] → [B, width]. */
export function timeEmbedding(p: Params, inputs: number, width: number, options: TimeEmbeddingOptions = {}) {
  const { activation = 'silu', after, conditionWidth } = options
  const first = linear(p.at('linear_1'), inputs, width)
  const project = conditionWidth === undefined ? undefined : linear(p.at('cond_proj'), conditionWidth, inputs, { bias: false })
  const second = linear(p.at('linear_2'), width, width)
  return (encoded: Tensor, condition?: Tensor): Tensor => {
    if (condition && !project) throw new ArgumentError('time embedding: a condition is given, and there is no cond_proj for it')
    const x = condition && project ? encoded.add(project(condition)) : encoded
    const y = second(activations[activation](first(x)))
    return after ? activations[after](y) : y
  }
}
