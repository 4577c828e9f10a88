import { LangevinError } from '../core/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { FileTensor } from '../runtime/weights.ts'
import { adapterConfig } from './lora-keys.ts'
import { readTensor } from './safetensors.ts'

export type Value = NdArray | FileTensor
type Parts = ReadonlyMap<string, Tensor>

/** How an adapter acts on one tensor: the caller's factor, and alpha over rank. */
export interface Strength {
  readonly factor: number
  readonly scale: number
}

/**
 * A weight with an adapter of any type merged in.
 *
 * DoRA (Liu et al. 2024, eq. 5) is m · V / ‖V‖ with V = W + ΔW; LyCORIS (`dora_scale`) then goes the factor's share of the way from W, and
 * PEFT (`lora_magnitude_vector`) has the factor inside V. OFT and BOFT (Qiu et al. 2023; Liu et al. 2024) rotate W's rows in blocks; GLoRA
 * (Chavan et al. 2023) adds W A + B.
 */
export function applied(w: Tensor, parts: Parts, { factor, scale }: Strength): Tensor {
  const rotation = parts.get('rotation')
  if (rotation) return w.add(rotated(w, rotation, parts.get('rescale')).sub(w).mul(factor))
  if (parts.has('glora a1')) return w.add(general(w, parts).mul(factor * scale))
  const delta = deltaOf(parts).reshape(w.shape)
  const [lycoris, peft] = [parts.get('dora'), parts.get('magnitude')]
  if (peft) return withMagnitude(w.add(delta.mul(factor * scale)), peft, true)
  if (lycoris)
    return w.add(
      withMagnitude(w.add(delta.mul(scale)), lycoris, isOfRows(lycoris, w))
        .sub(w)
        .mul(factor),
    )
  return w.add(delta.mul(factor * scale))
}

/** LyCORIS keeps one magnitude a column ([1, in, …]) or one a row ([out, 1, …]). */
const isOfRows = ({ shape }: Tensor, w: Tensor): boolean => shape.length === 1 || shape[0] === w.shape[0]

/** V with its rows, or its columns, scaled to these lengths. */
function withMagnitude(v: Tensor, magnitude: Tensor, rows: boolean): Tensor {
  const axes = v.shape.map((_, i) => i).filter((i) => i !== (rows ? 0 : 1))
  const length = v.mul(v).sum(axes, true).sqrt()
  return v.mul(magnitude.reshape(length.shape).div(length))
}

/** Rows in blocks of b, each multiplied by its block's transposed rotation; of several factors one after another, between butterflies. */
function rotated(w: Tensor, rotation: Tensor, rescale: Tensor | undefined): Tensor {
  const rows = w.shape[0] as number
  const [factors, blocks, size] = rotation.shape as [number, number, number, number]
  let x = w.reshape([rows, -1])
  if (factors === 0) throw new LangevinError('has no rotation')
  for (let i = 0; i < factors; i++) {
    const r = rotation.slice(0, i, i + 1).reshape([blocks, size, size])
    if (factors === 1)
      x = r
        .transpose(0, 2, 1)
        .matmul(x.reshape([blocks, size, -1]))
        .reshape([rows, -1])
    else x = butterfly(x, 2 ** i * Math.floor(size / 2), (y) => r.matmul(y.reshape([blocks, size, -1])).reshape([rows, -1]))
  }
  return (rescale ? x.mul(rescale.reshape([rows, 1])) : x).reshape(w.shape)
}

/** Brings rows that are k apart side by side for one step. */
function butterfly(x: Tensor, k: number, step: (x: Tensor) => Tensor): Tensor {
  const [rows, columns] = x.shape as [number, number]
  const groups = rows / (2 * k)
  const side = x.reshape([groups, 2, k, columns]).transpose(0, 2, 1, 3).reshape([rows, columns])
  return step(side).reshape([groups, k, 2, columns]).transpose(0, 2, 1, 3).reshape([rows, columns])
}

/** GLoRA's W A + B, in the order of either of its two writers, which the shapes tell. */
function general(w: Tensor, parts: Parts): Tensor {
  const [a1, a2, b1, b2] = ['a1', 'a2', 'b1', 'b2'].map((name) => {
    const part = parts.get(`glora ${name}`)
    if (!part) throw new LangevinError(`lacks ${name}`)
    return matrix(part)
  }) as [Tensor, Tensor, Tensor, Tensor]
  const rank = Math.min(...a1.shape)
  const older = a1.shape[0] === rank && a2.shape[1] === rank
  const [a, b] = older ? [a2.matmul(a1), b2.matmul(b1)] : [a1.matmul(a2), b1.matmul(b2)]
  const [rows, columns] = w.shape as [number, number]
  const kernel = w.shape.slice(2)
  if (kernel.length === 0) return w.matmul(a).add(b)
  // W's input channels are multiplied, its kernel's places each for itself; B is a matrix of all axes but the first, or of the channels.
  const flat = w.reshape([rows, columns, -1]).transpose(0, 2, 1).matmul(a).transpose(0, 2, 1).reshape(w.shape)
  return flat.add(b.size === w.size ? b.reshape(w.shape) : b.reshape([rows, columns, ...kernel.map(() => 1)]))
}

/**
 * Cayley's transform of the blocks Q − Qᵀ, (I + Q)(I − Q)⁻¹, in float64: rotations as [factors, blocks, b, b].
 *
 * @param blocks [blocks, b, b] of OFT, [factors, blocks, b, b] of BOFT
 * @param constraint the greatest norm that Q may have, over all blocks; 0 for none
 */
export function rotations(blocks: NdArray, constraint: number): NdArray<'f32'> {
  const shape = blocks.shape.length === 3 ? [1, ...blocks.shape] : blocks.shape
  const [factors, count, size, other] = shape as [number, number, number, number]
  if (shape.length !== 4 || size !== other) throw new LangevinError(`has blocks of shape [${blocks.shape.join(', ')}]`)
  const data = blocks.cast('f32').data
  const q = new Float64Array(data.length)
  for (let at = 0; at < data.length; at += size * size) {
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++)
        q[at + i * size + j] = (data[at + i * size + j] as number) - (data[at + j * size + i] as number)
  }
  const norm = Math.sqrt(q.reduce((sum, x) => sum + x * x, 0)) + 1e-8
  if (constraint > 0 && norm > constraint) for (let i = 0; i < q.length; i++) q[i] = ((q[i] as number) * constraint) / norm
  const out = new Float32Array(data.length)
  for (let at = 0; at < data.length; at += size * size) out.set(cayley(q.subarray(at, at + size * size), size), at)
  return new NdArray(out, [factors, count, size, size], 'f32')
}

/** (I + Q)(I − Q)⁻¹ of one skew-symmetric block: (I − Q)ᵀ Rᵀ = (I + Q)ᵀ, and I − Q is never singular. */
function cayley(q: Float64Array, n: number): Float64Array {
  // As (I − Q)ᵀ = I + Q, this solves (I + Q) X = I − Q by elimination with pivots; R = Xᵀ.
  const a = q.map((x, at) => (at % (n + 1) === 0 ? 1 + x : x))
  const x = q.map((x, at) => (at % (n + 1) === 0 ? 1 - x : -x))
  for (let c = 0; c < n; c++) {
    let pivot = c
    for (let r = c + 1; r < n; r++) if (Math.abs(a[r * n + c] as number) > Math.abs(a[pivot * n + c] as number)) pivot = r
    if (pivot !== c) {
      for (const m of [a, x]) {
        const row = m.slice(c * n, c * n + n)
        m.copyWithin(c * n, pivot * n, pivot * n + n)
        m.set(row, pivot * n)
      }
    }
    const top = a[c * n + c] as number
    for (let r = 0; r < n; r++) {
      if (r === c) continue
      const f = (a[r * n + c] as number) / top
      if (f === 0) continue
      for (let j = c; j < n; j++) a[r * n + j] = (a[r * n + j] as number) - f * (a[c * n + j] as number)
      for (let j = 0; j < n; j++) x[r * n + j] = (x[r * n + j] as number) - f * (x[c * n + j] as number)
    }
  }
  const out = new Float64Array(n * n)
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out[j * n + i] = (x[i * n + j] as number) / (a[i * n + i] as number)
  return out
}

/** What the parts of a change make, before its scale: [out, in] or [out, in, …kernel]. */
export function deltaOf(parts: ReadonlyMap<string, Tensor>): Tensor {
  const part = (name: string): Tensor => {
    const found = parts.get(name)
    if (!found) throw new LangevinError(`lacks ${name}`)
    return found
  }
  const whole = parts.get('diff') ?? parts.get('diff_b')
  if (whole) return whole
  if (parts.has('hada w1_a')) return hadamard(parts, part)
  if (parts.has('lokr w1') || parts.has('lokr w1_a')) return kronecker(parts, part)
  const [up, down, mid] = [part('up'), part('down'), parts.get('mid')]
  if (mid) return tucker(mid, matrix(up).transpose(), matrix(down))
  return product(matrix(up), down)
}

/** All axes but the first as one. */
const matrix = (x: Tensor): Tensor => x.reshape([x.shape[0] as number, -1])

/** [out, r] · [r, in, …] → [out, in, …]. */
const product = (a: Tensor, b: Tensor): Tensor => a.matmul(matrix(b)).reshape([a.shape[0] as number, ...b.shape.slice(1)])

/** Σ_ij t[i, j, …] a[i, o] b[j, n] → [o, n, …]. */
function tucker(t: Tensor, a: Tensor, b: Tensor): Tensor {
  const [, j, ...kernel] = t.shape as [number, number, ...number[]]
  const [o, n] = [a.shape[1] as number, b.shape[1] as number]
  const inner = t.transpose(0, ...kernel.map((_, i) => i + 2), 1).reshape([-1, j])
  const rows = a.matmul(inner.matmul(b).reshape([a.shape[0] as number, -1]), { transA: true })
  return rows.reshape([o, ...kernel, n]).transpose(0, kernel.length + 1, ...kernel.map((_, i) => i + 1))
}

type Part = (name: string) => Tensor

/** LoHa: the elementwise product of two low-rank matrices (Hyeon-Woo et al. 2022). */
function hadamard(parts: ReadonlyMap<string, Tensor>, part: Part): Tensor {
  const half = (i: 1 | 2) => {
    const [a, b, t] = [part(`hada w${i}_a`), part(`hada w${i}_b`), parts.get(`hada t${i}`)]
    return t ? tucker(t, a, b) : product(a, b)
  }
  return half(1).mul(half(2))
}

/** LoKr: the Kronecker product of two matrices, either of which may be of low rank (Yeh et al. 2024, section 3.3). */
function kronecker(parts: ReadonlyMap<string, Tensor>, part: Part): Tensor {
  const side = (i: 1 | 2) => {
    const whole = parts.get(`lokr w${i}`)
    if (whole) return whole
    const [a, b, t] = [part(`lokr w${i}_a`), part(`lokr w${i}_b`), parts.get(`lokr t${i}`)]
    return t ? tucker(t, a, b) : product(a, b)
  }
  const [left, right] = [side(1), side(2)]
  const [a, b] = left.shape as [number, number]
  const [c, d, ...kernel] = right.shape as [number, number, ...number[]]
  return left
    .reshape([a, 1, b, 1, ...kernel.map(() => 1)])
    .mul(right.reshape([1, c, 1, d, ...kernel]))
    .reshape([a * c, b * d, ...kernel])
}

/** alpha / rank. Without an alpha it is 1, unless the file's metadata tell it (diffusers' `lora_adapter_metadata`). */
export function scaleOf(
  metadata: Readonly<Record<string, string>> | undefined,
  component: string,
  key: string,
  parts: ReadonlyMap<string, Value>,
): number {
  const rank = rankOf(parts)
  if (rank === undefined) return 1
  const alpha = parts.get('alpha')
  if (alpha) return Number(readTensor(alpha).cast('f32').data[0]) / rank
  const written = metadata?.lora_adapter_metadata ?? metadata?.[adapterConfig]
  if (written === undefined) return 1
  // PEFT's own file is of one network, and does not name it.
  const prefix = metadata?.lora_adapter_metadata === undefined ? '' : `${component}.`
  const fields: Record<string, unknown> = JSON.parse(written)
  const patterns = (fields[`${prefix}alpha_pattern`] ?? {}) as Record<string, number>
  const module = key.replace(/\.(weight|bias)$/, '')
  const own = Object.entries(patterns).find(([name]) => module === name || module.endsWith(`.${name}`))
  const value = own?.[1] ?? fields[`${prefix}lora_alpha`]
  if (typeof value !== 'number') return 1
  return value / (fields[`${prefix}use_rslora`] === true ? Math.sqrt(rank) : rank)
}

/** The rank that alpha is over; none for whole differences and for a LoKr without a low-rank side. */
function rankOf(parts: ReadonlyMap<string, Value>): number | undefined {
  const inner = ['down', 'hada w1_b', 'lokr w2_b', 'lokr w1_b', 'glora a1'].find((part) => parts.has(part))
  const shape = inner === undefined ? undefined : parts.get(inner)?.shape
  return shape && (inner === 'glora a1' ? Math.min(...shape) : shape[0])
}
