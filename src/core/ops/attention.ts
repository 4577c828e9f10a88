import { ArgumentError, ShapeError } from '../errors.ts'
import { build, type Lowering, type Tensor } from '../graph.ts'
import { constant, isConstant, ones } from '../leaves.ts'
import { dims, range, showShape } from '../shape.ts'
import { where } from './elementwise.ts'
import { concat } from './move.ts'
import { at, checkDTypes, op } from './op.ts'

export interface AttentionAttrs {
  readonly heads: number
  /** Factor on the scores; 1/√(D/heads) in Vaswani et al. 2017. */
  readonly scale: number
  /** Token i sees only tokens 0 … i. */
  readonly causal: boolean
  /** The mask's values are all finite: a bias of positions, for instance. */
  readonly finite?: boolean
}

/**
 * softmax(q kᵀ · scale + mask) v, heads side by side in the last axis (Vaswani et al. 2017, eq. 1):
 * q [B, N, D], k [B, M, D], v [B, M, E], mask [1|B, 1|heads, 1|N, M] added to the scores → [B, N, E].
 * Where a mask is −∞ for every key of a query, the result is 0 and no gradient passes, as in PyTorch.
 */
export const attention = op<AttentionAttrs>('attention', {
  shape: (inputs, { heads, scale, causal }) => {
    const [q, k, v, mask] = [at(inputs, 0), at(inputs, 1), at(inputs, 2), inputs[3]]
    checkDTypes('attention', inputs, 'floats')
    const { B, N, D } = named('q', q, 'B N D')
    const { M } = named('k', k, 'B M D', { B, D })
    const { E } = named('v', v, 'B M E', { B, M })
    if (!Number.isInteger(heads) || heads < 1 || D % heads !== 0 || E % heads !== 0)
      throw new ArgumentError(`attention: widths ${D} and ${E} do not split into ${heads} heads`)
    if (!Number.isFinite(scale)) throw new ArgumentError(`attention: the scale ${scale} must be finite`)
    if (causal && N !== M) throw new ArgumentError(`attention: a causal one needs as many queries as keys, got ${N} and ${M}`)
    if (mask) {
      const m = named('mask', mask, 'B H N M', { M })
      if ((m.B !== 1 && m.B !== B) || (m.H !== 1 && m.H !== heads) || (m.N !== 1 && m.N !== N)) {
        throw new ShapeError(
          `attention: mask ${showShape(mask.shape)} must be [1 or ${B}, 1 or ${heads}, ${N === 1 ? N : `1 or ${N}`}, ${M}]`,
        )
      }
    }
    return { shape: [B, N, E], dtype: q.dtype }
  },
  lower: (b, operands, { inputs, attrs }) => {
    if (!b.fusedAttention) return b.value(composed(inputs, attrs))
    const [q, k, v, mask] = [at(inputs, 0), at(inputs, 1), at(inputs, 2), maskOf(inputs, attrs)]
    if (!mask) return fused(b, operands, attrs)
    const y =
      b.target === 'cpu' ? inRows(b, q, k, v, mask, attrs) : fused(b, [...operands.slice(0, 3), b.value(spread(mask, q))], attrs)
    return emptyRowsZero(b, y, mask, at(v.shape, 2), attrs)
  },
  vjp: (g, inputs, y, attrs) => {
    const [q, k, v, mask] = [at(inputs, 0), at(inputs, 1), at(inputs, 2), inputs[3]]
    const { heads, scale } = attrs
    const [Q, K, V, G] = [q, k, v, g].map((x) => splitHeads(x, heads)) as [Tensor, Tensor, Tensor, Tensor]
    const P = probabilities(Q, K, inputs, attrs)
    const gV = P.matmul(G, { transA: true })
    // Σ_m P·(G Vᵀ) is Σ_e G·Y, so the rows' sums come from the narrower side (Dao et al. 2022, appendix B.2). The product subtracts them
    // from G Vᵀ, as one more channel.
    const sums = headSums(g.mul(y), heads)
    const one = ones([...V.shape.slice(0, -1), 1], V.dtype)
    const joined = (x: Tensor, channel: Tensor) => build(concat, [x, channel], { axis: 3 })
    const gS = P.mul(joined(G, sums.neg()).matmul(joined(V, one), { transB: true }))
    const gQ = gS.matmul(K).mul(scale)
    const gK = gS.matmul(Q, { transA: true }).mul(scale)
    return [joinHeads(gQ), joinHeads(gK), joinHeads(gV), ...(mask ? [gS.sumTo(mask.shape)] : [])]
  },
})

/** `dims` of an operand, whose error names it. */
function named<S extends string>(operand: string, x: Tensor, axes: S, expected: Parameters<typeof dims<S>>[2] = {}) {
  return dims({ shape: x.shape, name: `attention: ${operand} ${x.describe()}` }, axes, expected)
}

/** ONNX Runtime's kernel. Without a mask it never holds the scores of more than a few rows. */
const fused = (b: Lowering, [q, k, v, mask]: readonly (string | undefined)[], { heads, scale }: AttentionAttrs) =>
  b.emit(
    'MultiHeadAttention',
    [q, k, v, ...(mask ? ['', '', mask] : [])] as string[],
    { num_heads: heads, scale: { float: scale } },
    'com.microsoft',
  )

/** Scores that ONNX Runtime's kernel may hold at once with a mask: 64 MB. */
const MOST_SCORES = 2 ** 24

/** Attention with a mask, some queries at a time, because ONNX Runtime's kernel then holds all scores of a call. */
function inRows(b: Lowering, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, attrs: AttentionAttrs): string {
  const [B, N, M] = [at(q.shape, 0), at(q.shape, 1), at(k.shape, 1)]
  if (at(mask.shape, 2) === 1 && q.dtype === 'f32' && attrs.scale !== 0) return byKeys(b, q, k, v, mask, attrs)
  const rows = Math.max(1, Math.min(N, Math.floor(MOST_SCORES / (B * attrs.heads * M))))
  const [keys, values] = [b.value(k), b.value(v)]
  const parts = range(Math.ceil(N / rows)).map((i) => {
    const [start, end] = [i * rows, Math.min(N, (i + 1) * rows)]
    const some = at(mask.shape, 2) === 1 ? mask : mask.slice(2, start, end)
    const queries = q.slice(1, start, end)
    return fused(b, [b.value(queries), keys, values, b.value(spread(some, queries))], attrs)
  })
  return parts.length === 1 ? (parts[0] as string) : b.emit('Concat', parts, { axis: 1 })
}

/**
 * A mask of the keys alone as one more channel of each head: 1 in the queries, mask/scale in the keys. The kernel then runs
 * without a mask, and memory stays linear in the tokens.
 */
function byKeys(b: Lowering, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, attrs: AttentionAttrs): string {
  const { heads, scale } = attrs
  const { B, N, D } = dims(q, 'B N D')
  const M = at(k.shape, 1)
  const channel = finite(mask).div(scale).expand([B, heads, 1, M]).transpose(0, 3, 1, 2)
  const withChannel = (x: Tensor, n: number, last: Tensor) =>
    b.value(build(concat, [x.reshape([B, n, heads, D / heads]), last], { axis: 3 }).reshape([B, n, D + heads]))
  const one = constant([1]).expand([B, N, heads, 1])
  return fused(b, [withChannel(q, N, one), withChannel(k, M, channel), b.value(v)], attrs)
}

/** A mask with as many rows as there are queries. */
const spread = (mask: Tensor, q: Tensor): Tensor => mask.expand(mask.shape.with(2, at(q.shape, 1)))

/** The result, but 0 where the mask hides every key from a query. */
function emptyRowsZero(b: Lowering, y: string, mask: Tensor, width: number, attrs: AttentionAttrs): string {
  const { heads } = attrs
  if (sparesEveryRow(mask, attrs)) return y
  const [B, H, N] = mask.shape as [number, number, number]
  const empty = b.cached(mask, 'hides every key', () => b.value(hidesAll(mask).transpose(0, 2, 1, 3)))
  const zero = b.scalar(0, mask.dtype)
  if (H === 1) return b.emit('Where', [b.emit('Reshape', [empty, b.ints([B, N, 1])]), zero, y])
  const split = b.emit('Reshape', [y, b.ints([0, 0, heads, width / heads])])
  return b.emit('Reshape', [b.emit('Where', [empty, zero, split]), b.ints([0, 0, width])])
}

/** Whether a mask is known to hide no query's keys altogether: its caller says so, or its values are at hand. */
const sparesEveryRow = (mask: Tensor, { finite = false }: AttentionAttrs): boolean =>
  finite || (isConstant(mask) && mask.dtype === 'f32' && (mask.attrs.data as Float32Array).every(Number.isFinite))

/** Where a mask is −∞ along the last axis, which becomes 1. */
const hidesAll = (mask: Tensor): Tensor => mask.max(3, true).eq(-Infinity)

/** A mask whose −∞ is a number so low that its exponential is 0 still. */
const finite = (mask: Tensor): Tensor => mask.maximum(mask.dtype === 'f16' ? -6e4 : -1e30)

/** [B, N, heads·d] → [B, heads, N, d]. */
function splitHeads(x: Tensor, heads: number): Tensor {
  const { B, N, D } = dims(x, 'B N D')
  return x.reshape([B, N, heads, D / heads]).transpose(0, 2, 1, 3)
}

/** [B, N, heads·d] → sums over d, [B, heads, N, 1]. */
function headSums(x: Tensor, heads: number): Tensor {
  const { B, N, D } = dims(x, 'B N D')
  return x
    .reshape([B, N, heads, D / heads])
    .sum(3, true)
    .transpose(0, 2, 1, 3)
}

function joinHeads(x: Tensor): Tensor {
  const { B, H, N, D } = dims(x, 'B H N D')
  return x.transpose(0, 2, 1, 3).reshape([B, N, H * D])
}

function probabilities(Q: Tensor, K: Tensor, inputs: readonly Tensor[], attrs: AttentionAttrs): Tensor {
  const scores = Q.mul(attrs.scale).matmul(K, { transB: true })
  const mask = maskOf(inputs, attrs)
  if (!mask) return scores.softmax(3)
  const P = scores.add(finite(mask)).softmax(3)
  return sparesEveryRow(mask, attrs) ? P : build(where, [hidesAll(mask), P.like(0), P])
}

function composed(inputs: readonly Tensor[], attrs: AttentionAttrs): Tensor {
  const [Q, K, V] = inputs.slice(0, 3).map((x) => splitHeads(x, attrs.heads)) as [Tensor, Tensor, Tensor]
  return joinHeads(probabilities(Q, K, inputs, attrs).matmul(V))
}

/** The mask, with −∞ wherever a causal attention hides a key that comes after its query. */
function maskOf(inputs: readonly Tensor[], { causal }: AttentionAttrs): Tensor | undefined {
  const mask = inputs[3]
  if (!causal) return mask
  const n = at(at(inputs, 0).shape, 1)
  // Alone it leaves every query a key, so a finite number does.
  const hidden = mask ? -Infinity : -1e9
  const upper = Float32Array.from({ length: n * n }, (_, i) => (i % n > Math.floor(i / n) ? hidden : 0))
  const triangle = constant(upper, [1, 1, n, n]).cast(at(inputs, 0).dtype)
  return mask ? triangle.add(mask) : triangle
}
