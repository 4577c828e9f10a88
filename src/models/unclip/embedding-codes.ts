import { ArgumentError } from '../../core/errors.ts'
import { dims } from '../../core/shape.ts'
import { NdArray } from '../../runtime/ndarray.ts'

/** How embeddings become tokens (Ramesh et al. 2022, section 2.2): their principal components, each in buckets of one width. */
export interface EmbeddingCodes {
  /** Mean of the data [1, D], and the components [K, D], the one of the largest variance first. */
  readonly mean: NdArray<'f32'>
  readonly axes: NdArray<'f32'>
  /** Least and largest coordinate of each component in the data: [K]. */
  readonly low: NdArray<'f32'>
  readonly high: NdArray<'f32'>
  readonly buckets: number
  /** Share of the data's variance that the components hold. */
  readonly kept: number
}

export interface EmbeddingCodesOptions {
  /** Components that are kept: 319 of 1024 in the paper. */
  readonly components: number
  /** Buckets of each: 1024 in the paper. */
  readonly buckets: number
}

/** @param embeds [N, D], two rows at least. @throws ArgumentError for more components than there are channels */
export function fitEmbeddingCodes(embeds: NdArray, { components, buckets }: EmbeddingCodesOptions): EmbeddingCodes {
  const { N, D } = dims(embeds, 'N D')
  if (N < 2 || components > D || components < 1 || buckets < 2)
    throw new ArgumentError(
      `embedding codes: ${components} components in ${buckets} buckets of ${N} embeddings of ${D} channels; there are 1 … ${D}, and two buckets at least`,
    )
  const mean = embeds.mean({ axes: [0], keep: true }).cast('f32')
  const centred = embeds.sub(mean).cast('f32')
  const covariance = centred.transpose().matmul(centred).div(N)
  const { values, vectors } = eigen(Float64Array.from(covariance.data as Float32Array), D)
  const order = [...values.keys()].sort((a, b) => (values[b] as number) - (values[a] as number))
  const total = values.reduce((a, b) => a + b, 0)
  const chosen = order.slice(0, components)
  const axes = new NdArray(
    Float32Array.from(chosen.flatMap((k) => Array.from({ length: D }, (_, i) => vectors[i * D + k] as number))),
    [components, D],
    'f32',
  )
  const along = centred.matmul(axes.transpose())
  return {
    ...{ mean, axes, buckets },
    low: along.min({ axes: [0] }).cast('f32'),
    high: along.max({ axes: [0] }).cast('f32'),
    kept: total > 0 ? chosen.reduce((sum, k) => sum + (values[k] as number), 0) / total : 1,
  }
}

/** Embeddings [N, D] → the number of each component's bucket: i64 [N, K]. What lies beyond the data's ends goes into the last bucket there. */
export function embeddingToCodes(embeds: NdArray, { mean, axes, low, high, buckets }: EmbeddingCodes): NdArray<'i64'> {
  const along = embeds.sub(mean).matmul(axes.transpose()).cast('f32')
  const [N, K] = along.shape as [number, number]
  const codes = BigInt64Array.from({ length: N * K }, (_, i) => {
    const [a, b] = [low.data[i % K] as number, high.data[i % K] as number]
    const place = b > a ? Math.floor((((along.data[i] as number) - a) / (b - a)) * buckets) : 0
    return BigInt(Math.min(buckets - 1, Math.max(0, place)))
  })
  return new NdArray(codes, [N, K], 'i64')
}

/** Buckets i64 [N, K] → the embeddings of their middles: [N, D]. */
export function codesToEmbedding(codes: NdArray<'i64'>, { mean, axes, low, high, buckets }: EmbeddingCodes): NdArray<'f32'> {
  const { N, K } = dims(codes, 'N K', { K: axes.shape[0] as number })
  const along = Float32Array.from({ length: N * K }, (_, i) => {
    const [a, b] = [low.data[i % K] as number, high.data[i % K] as number]
    return a + ((Number(codes.data[i]) + 0.5) / buckets) * (b - a)
  })
  return new NdArray(along, [N, K], 'f32').matmul(axes).add(mean).cast('f32')
}

/** Eigenvalues and eigenvectors (columns) of a symmetric matrix by Jacobi's rotations (Golub and Van Loan 2013, section 8.5). */
function eigen(matrix: Float64Array, n: number): { readonly values: number[]; readonly vectors: Float64Array } {
  const vectors = Float64Array.from({ length: n * n }, (_, i) => (Math.floor(i / n) === i % n ? 1 : 0))
  const at = (i: number, j: number) => matrix[i * n + j] as number
  const rotate = (m: Float64Array, i: number, j: number, c: number, s: number) => {
    const [x, y] = [m[i] as number, m[j] as number]
    m[i] = c * x - s * y
    m[j] = s * x + c * y
  }
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0
    let all = 0
    for (let p = 0; p < n; p++)
      for (let q = 0; q < n; q++) {
        all += at(p, q) ** 2
        if (p !== q) off += at(p, q) ** 2
      }
    if (off <= 1e-22 * all) break
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        if (at(p, q) === 0) continue
        const theta = (at(q, q) - at(p, p)) / (2 * at(p, q))
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
        const c = 1 / Math.sqrt(t * t + 1)
        const s = t * c
        for (let k = 0; k < n; k++) rotate(matrix, k * n + p, k * n + q, c, s)
        for (let k = 0; k < n; k++) rotate(matrix, p * n + k, q * n + k, c, s)
        for (let k = 0; k < n; k++) rotate(vectors, k * n + p, k * n + q, c, s)
      }
  }
  return { values: Array.from({ length: n }, (_, i) => Math.max(0, at(i, i))), vectors }
}
