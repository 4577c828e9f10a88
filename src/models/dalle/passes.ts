import { attention, concat } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import { constant, type Tensor, zeros } from '../../core/tensor.ts'
import { type DalleConfig, lengthsOf } from './config.ts'
import { type AttentionType, attentionMask } from './masks.ts'
import { dalleRotation } from './positions.ts'

/** Keys and values of a layer, and what a branch shifts: as they come from a pass, and as a later one takes them. */
export interface Remembered {
  /** [B, N, heads · dim_head], positions turned. */
  readonly keys: Tensor[]
  readonly values: Tensor[]
  /** The first half of the channels that each branch reads, before anything is shifted: [B, N, dim/2]; attention and feed-forward in turn. */
  readonly shifts: Tensor[]
}

/** What differs between a run over all tokens and one over the next token of each sequence. */
export interface Pass {
  readonly remembered: Remembered
  /** Turns queries, keys or values [B, N, heads · dim_head] by their positions. */
  turn(x: Tensor): Tensor
  /** softmax(q kᵀ) v of this layer over what it sees. */
  attend(type: AttentionType, q: Tensor, k: Tensor, v: Tensor): Tensor
  /** Quarters of the channels taken from the token above and the one to the left; of text, half from the one before. */
  shift(x: Tensor): Tensor
}

/** A number so low that its exponential is 0. */
const HIDDEN = -1e9

const bias = (mask: Uint8Array): Float32Array => Float32Array.from(mask, (seen) => (seen ? 0 : HIDDEN))

/** What layers of a type see as numbers that are added to the scores, [inputs, inputs], themselves or not; made once for each. */
function biases(config: DalleConfig, themselves: boolean) {
  const { text, inputs } = lengthsOf(config)
  const grid = { text, side: config.image_fmap_size, kernel: config.conv_kernel }
  const made = new Map<AttentionType, Tensor>()
  return (type: AttentionType): Tensor => {
    const known = made.get(type)
    if (known) return known
    const mask = attentionMask(type, inputs, grid)
    if (!themselves) for (let i = 0; i < inputs; i++) mask[i * inputs + i] = 0
    const own = constant(bias(mask), [inputs, inputs])
    made.set(type, own)
    return own
  }
}

const nothing = (): Remembered => ({ keys: [], values: [], shifts: [] })

/** Tables by position, for both passes. */
export function tables(config: DalleConfig) {
  const { cos, sin } = config.rotary_emb ? dalleRotation(config) : {}
  const table = (values: typeof cos) => values && constant(values.data, values.shape)
  return { seen: biases(config, true), before: biases(config, false), cos: table(cos), sin: table(sin) }
}
type Tables = ReturnType<typeof tables>

/** Neighbouring channels of each head as pairs, turned: cosines and sines [1|N, 1, dim_head/2, 1]. */
function turned(x: Tensor, cos: Tensor, sin: Tensor, heads: number): Tensor {
  const { B, N, D } = dims(x, 'B N D')
  const [a, b] = x.reshape([B, N, heads, D / heads / 2, 2]).split(2, 4) as [Tensor, Tensor]
  return concat([a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))], 4).reshape([B, N, D])
}

/** All of the first N tokens at once: [B, N, dim]. */
export function wholePass(config: DalleConfig, N: number, { seen, cos, sin }: Tables): Pass {
  const { heads, dim_head, dim } = config
  const { text } = lengthsOf(config)
  const side = config.image_fmap_size
  const remembered = nothing()
  const rows = (table: Tensor) => table.slice(0, 0, N).reshape([N, 1, dim_head / 2, 1])
  return {
    remembered,
    turn: (x) => (cos && sin ? turned(x, rows(cos), rows(sin), heads) : x),
    attend(type, q, k, v) {
      remembered.keys.push(k)
      remembered.values.push(v)
      const scale = dim_head ** -0.5
      if (type === 'full') return attention(q, k, v, { heads, scale, causal: true })
      const mask = seen(type).slice(0, 0, N).slice(1, 0, N).reshape([1, 1, N, N])
      return attention(q, k, v, { heads, scale, mask })
    },
    shift(x) {
      if (!config.shift_tokens) return x
      remembered.shifts.push(x.slice(2, 0, dim / 2))
      const { B } = dims(x, 'B N D')
      const moved = (y: Tensor, by: number) =>
        concat([zeros([B, by, y.shape[2] as number]), y], 1).slice(1, 0, y.shape[1] as number)
      const words = x.slice(1, 0, text)
      const first = concat([moved(words.slice(2, 0, dim / 2), 1), words.slice(2, dim / 2)], 2)
      if (N === text) return first
      const image = x.slice(1, text)
      const [above, left] = [image.slice(2, 0, dim / 4), image.slice(2, dim / 4, dim / 2)]
      const inside = constant(
        Float32Array.from({ length: N - text }, (_, i) => Number(i % side !== 0)),
        [1, N - text, 1],
      )
      return concat([first, concat([moved(above, side), moved(left, 1).mul(inside), image.slice(2, dim / 2)], 2)], 1)
    },
  }
}

/** What a step is given of the tokens before it. */
export interface Past {
  /** For each layer [B, heads, inputs, dim_head], both. */
  readonly keys: readonly Tensor[]
  readonly values: readonly Tensor[]
  /** For each branch the first quarter of the token above and the second of the one to the left, [B, 1, dim/2]; 0 where there is none. */
  readonly shifts: readonly Tensor[]
}

/**
 * One image token of each sequence: [B, 1, dim]. It attends to the past, which has room for all tokens, and to itself.
 *
 * @param position its place among all inputs, i64 [1]
 */
export function stepPass(config: DalleConfig, past: Past, position: Tensor, { before, cos, sin }: Tables): Pass {
  const { heads, dim_head, dim } = config
  const { inputs } = lengthsOf(config)
  const remembered = nothing()
  const row = (table: Tensor) => table.gather(position, 0).reshape([1, 1, dim_head / 2, 1])
  return {
    remembered,
    turn: (x) => (cos && sin ? turned(x, row(cos), row(sin), heads) : x),
    attend(type, q, k, v) {
      const layer = remembered.keys.length
      const [keys, values] = [past.keys[layer] as Tensor, past.values[layer] as Tensor]
      remembered.keys.push(k)
      remembered.values.push(v)
      const { B } = dims(q, 'B N D')
      const [Q, K, V] = [q, k, v].map((x) => x.reshape([B, heads, 1, dim_head])) as [Tensor, Tensor, Tensor]
      const scaled = Q.mul(dim_head ** -0.5)
      const own = scaled.mul(K).sum(3, true)
      // Its own place in the past is empty: it sees itself beside it.
      const hidden = before(type).gather(position, 0).reshape([1, 1, 1, inputs])
      const shares = concat([scaled.matmul(keys, { transB: true }).add(hidden), own], 3).softmax(3)
      const seen = shares.slice(3, 0, inputs).matmul(values).add(shares.slice(3, inputs).mul(V))
      return seen.reshape([B, 1, heads * dim_head])
    },
    shift(x) {
      if (!config.shift_tokens) return x
      const shifted = past.shifts[remembered.shifts.length] as Tensor
      remembered.shifts.push(x.slice(2, 0, dim / 2))
      return concat([shifted, x.slice(2, dim / 2)], 2)
    },
  }
}
