import { ArgumentError, ShapeError } from '../errors.ts'
import { dims, showShape } from '../shape.ts'
import { constant, type Tensor } from '../tensor.ts'
import { at, checkDTypes, op } from './op.ts'

export interface AttentionAttrs {
  readonly heads: number
  /** Factor on the scores; 1/√(D/heads) in Vaswani et al. 2017. */
  readonly scale: number
  /** Token i sees only tokens 0 … i. */
  readonly causal: boolean
}

/**
 * softmax(q kᵀ · scale + mask) v, heads side by side in the last axis (Vaswani et al. 2017, eq. 1):
 * q [B, N, D], k [B, M, D], v [B, M, E], mask [1|B, 1|heads, N, M] added to the scores → [B, N, E].
 */
export const attention = op<AttentionAttrs>('attention', {
  shape: (inputs, { heads, causal }) => {
    const [q, k, v, mask] = [at(inputs, 0), at(inputs, 1), at(inputs, 2), inputs[3]]
    checkDTypes('attention', inputs, 'floats')
    const { B, N, D } = dims(q, 'B N D')
    const { M } = dims(k, 'B M D', { B, D })
    const { E } = dims(v, 'B M E', { B, M })
    if (D % heads !== 0 || E % heads !== 0)
      throw new ArgumentError(`attention: widths ${D} and ${E} do not split into ${heads} heads`)
    if (causal && N !== M) throw new ArgumentError(`attention: a causal one needs as many queries as keys, got ${N} and ${M}`)
    if (mask) {
      const m = dims(mask, 'B H N M', { N, M })
      if ((m.B !== 1 && m.B !== B) || (m.H !== 1 && m.H !== heads)) {
        throw new ShapeError(`attention: mask ${showShape(mask.shape)} must be [1 or ${B}, 1 or ${heads}, ${N}, ${M}]`)
      }
    }
    return { shape: [B, N, E], dtype: q.dtype }
  },
  lower: (b, inputs, node) => {
    if (!b.fusedAttention) return b.value(composed(node.inputs, node.attrs))
    const { heads, scale, causal } = node.attrs
    const [q, k, v, mask] = inputs
    const bias = causal ? b.value(withCausal(node.inputs)) : mask
    const operands = [q, k, v, '', '', bias ?? ''] as string[]
    return b.emit(
      'MultiHeadAttention',
      bias ? operands : operands.slice(0, 3),
      { num_heads: heads, scale: { float: scale } },
      'com.microsoft',
    )
  },
  vjp: (g, inputs, y, attrs) => {
    const [q, k, v, mask] = [at(inputs, 0), at(inputs, 1), at(inputs, 2), inputs[3]]
    const { heads, scale } = attrs
    const [Q, K, V, G, Y] = [q, k, v, g, y].map((x) => splitHeads(x, heads)) as [Tensor, Tensor, Tensor, Tensor, Tensor]
    const P = probabilities(Q, K, inputs, attrs)
    const gV = P.matmul(G, { transA: true })
    // Σ_m P·(G Vᵀ) is Σ_e G·Y, so the rows' sums come from the narrower side (Dao et al. 2022, appendix B.2).
    const gS = P.mul(G.matmul(V, { transB: true }).sub(G.mul(Y).sum(3, true)))
    const gQ = gS.matmul(K).mul(scale)
    const gK = gS.matmul(Q, { transA: true }).mul(scale)
    return [joinHeads(gQ), joinHeads(gK), joinHeads(gV), ...(mask ? [gS.sumTo(mask.shape)] : [])]
  },
})

/** [B, N, heads·d] → [B, heads, N, d]. */
function splitHeads(x: Tensor, heads: number): Tensor {
  const { B, N, D } = dims(x, 'B N D')
  return x.reshape([B, N, heads, D / heads]).transpose(0, 2, 1, 3)
}

function joinHeads(x: Tensor): Tensor {
  const { B, H, N, D } = dims(x, 'B H N D')
  return x.transpose(0, 2, 1, 3).reshape([B, N, H * D])
}

function probabilities(Q: Tensor, K: Tensor, inputs: readonly Tensor[], attrs: AttentionAttrs): Tensor {
  const scores = Q.matmul(K, { transB: true }).mul(attrs.scale)
  const mask = attrs.causal ? withCausal(inputs) : inputs[3]
  return (mask ? scores.add(mask) : scores).softmax(3)
}

function composed(inputs: readonly Tensor[], attrs: AttentionAttrs): Tensor {
  const [Q, K, V] = inputs.slice(0, 3).map((x) => splitHeads(x, attrs.heads)) as [Tensor, Tensor, Tensor]
  return joinHeads(probabilities(Q, K, inputs, attrs).matmul(V))
}

/** The mask with −10⁹ wherever a key comes after its query. */
function withCausal(inputs: readonly Tensor[]): Tensor {
  const n = at(at(inputs, 0).shape, 1)
  const upper = Float32Array.from({ length: n * n }, (_, i) => (i % n > Math.floor(i / n) ? -1e9 : 0))
  const causal = constant(upper, [1, 1, n, n]).cast(at(inputs, 0).dtype)
  return inputs[3] ? causal.add(inputs[3]) : causal
}
