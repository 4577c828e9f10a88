import { range } from '../../../core/shape.ts'
import { constant, input, type Tensor } from '../../../core/tensor.ts'
import { boundWeight, type MaskSchedule, maskTokens, spreadTimes, totalNoise } from '../../../diffusion/index.ts'
import { blockTrainingMask, type Mdlm, type MdlmConfig, scoreNats, tokenNats } from '../../../models/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'

type Shape = readonly [B: number, N: number]

/** How a network of texts learns: what it is shown, and what a text costs. */
export interface TextObjective {
  /** The class of the folder that it becomes. */
  readonly className: 'MDLM' | 'SEDD' | 'BD3LM' | 'AR'
  /** Nats of each text [B], traced from the inputs that `feeds` fills: a bound on −ln p where texts are noisy, else −ln p itself. */
  nats(network: Mdlm, shape: Shape): Tensor
  /** @param interval of times that are drawn; all of them unless given, as the bound asks for */
  feeds(clean: NdArray<'i64'>, generator: Generator, interval?: readonly [number, number]): Record<string, NdArray>
}

const askedOf = (shape: Shape) => ({ labels: input('labels', shape, 'i64'), weights: input('weights', shape) })

const integers = (values: NdArray): NdArray<'i64'> => values.cast('i64')

/** Masked tokens at a time drawn for each text, and what each of them weighs. */
function masked(
  clean: NdArray<'i64'>,
  times: readonly number[],
  { mask, schedule, generator }: { readonly mask: number; readonly schedule: MaskSchedule; readonly generator: Generator },
) {
  const N = clean.shape[1] as number
  const kept = times.map((t) => schedule.kept(t))
  const weightAt = times.map((t) => boundWeight(schedule, t))
  const tokens = maskTokens(clean, kept, mask, generator)
  const weights = tokens.map((token, i) => (token === mask ? (weightAt[Math.floor(i / N)] as number) : 0))
  return { tokens, weights }
}

const whole = [1e-3, 1] as const

/** Masked diffusion (Sahoo et al. 2024), or by scores (Lou et al. 2024): all of a text at one time. */
export function maskedObjective(config: MdlmConfig, schedule: MaskSchedule): TextObjective {
  const scores = config.model_type === 'sedd'
  const mask = config.vocab_size - 1
  return {
    className: scores ? 'SEDD' : 'MDLM',
    nats(network, shape) {
      const sigma = config.time_conditioning ? input('sigma', [shape[0]]) : undefined
      const { logits } = network(input('tokens', shape, 'i64'), sigma)
      return (scores ? scoreNats : tokenNats)(logits, askedOf(shape))
    },
    feeds(clean, generator, [low, high] = whole) {
      const times = spreadTimes(generator, clean.shape[0] as number, low, high)
      const { tokens, weights } = masked(clean, times, { mask, schedule, generator })
      const sigma = NdArray.from(times.map((t) => totalNoise(schedule, t)))
      return { tokens: integers(tokens), labels: clean, weights, ...(config.time_conditioning && { sigma }) }
    },
  }
}

/** Block diffusion (Arriola et al. 2025): each block at its own time, seen beside the clean blocks before it. */
export function blockObjective(config: MdlmConfig, schedule: MaskSchedule): TextObjective {
  const { block_size: block = config.model_length } = config
  const mask = config.vocab_size - 1
  return {
    className: 'BD3LM',
    nats(network, [B, N]) {
      const seen = constant(blockTrainingMask(N, block), [1, 1, 2 * N, 2 * N])
      const positions = range(2 * N).map((i) => i % N)
      const { logits } = network(input('tokens', [B, 2 * N], 'i64'), undefined, { positions, mask: seen })
      return tokenNats(logits.slice(1, 0, N), askedOf([B, N]))
    },
    feeds(clean, generator, [low, high] = whole) {
      const [B, N] = clean.shape as [number, number]
      const each = N / block
      const spread = spreadTimes(generator, B * each, low, high)
      // Neighbouring times go to different texts, so that the blocks of one have all kinds.
      const times = range(B * each).map((row) => spread[(row % each) * B + Math.floor(row / each)] as number)
      const { tokens, weights } = masked(clean.reshape([B * each, block]), times, { mask, schedule, generator })
      const noisy = integers(tokens).reshape([B, N])
      return { tokens: NdArray.concat([noisy, clean], 1), labels: clean, weights: weights.reshape([B, N]) }
    },
  }
}

/** The causal twin: each token given those before it. The mask stands before the first. */
export function causalObjective(config: MdlmConfig): TextObjective {
  const start = BigInt(config.vocab_size - 1)
  return {
    className: 'AR',
    nats: (network, shape) => tokenNats(network(input('tokens', shape, 'i64')).logits, askedOf(shape)),
    feeds(clean) {
      const [B, N] = clean.shape as [number, number]
      const first = new NdArray(new BigInt64Array(B).fill(start), [B, 1], 'i64')
      const tokens = NdArray.concat([first, clean.slice(1, 0, N - 1)], 1)
      return { tokens, labels: clean, weights: NdArray.full([B, N], 1) }
    },
  }
}
