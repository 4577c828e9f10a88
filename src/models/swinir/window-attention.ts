import { attention, concat } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { type Layer, layerNorm, linear } from '../../nn/layers.ts'
import { normal, type Params } from '../../nn/params.ts'

export interface WindowOptions {
  readonly width: number
  readonly heads: number
  /** Pixels a side of a window. */
  readonly window: number
  /** Pixels by which windows lie further right and down than at multiples of their side. */
  readonly shift: number
}

/** What attention in a window is: its layers, and the bias of each pixel for each other, [1, heads, N, N]. */
export interface WindowScores {
  /** Pixels [B, H, W, C] → queries, keys and values side by side, [B, H, W, 3C]. */
  readonly toQkv: Layer
  /** Queries, keys and values [B, N, C] as the product of them takes them, and the factor on it. */
  readonly prepare: (q: Tensor, k: Tensor, v: Tensor) => readonly [Tensor, Tensor, Tensor]
  readonly scale?: number
  readonly bias: Tensor
  readonly project: Layer
}

/** Added to the scores of pixels that lie together in a window only because the picture was rolled, as Swin has it. */
const APART = -100

/**
 * Attention of the pixels inside windows (Liu et al. 2021, section 3.2), of pixels [B, H, W, C] → the same; H and W are multiples of the
 * window.
 *
 * Shifted windows are those of the picture rolled left and up. Only the last column and row of windows then hold pixels from
 * opposite borders, so that three sorts of windows need a mask, and each sort the same for all of its windows.
 */
export function inWindows({ width, heads, window, shift }: WindowOptions, scores: WindowScores): Layer {
  const { toQkv, prepare, scale, bias, project } = scores

  /** Windows [B, rows, columns, N, 3C] → [B, rows, columns, N, C]. */
  function attend(x: Tensor, apart: Apart): Tensor {
    const { B, R, L, N } = dims(x, 'B R L N C')
    const parts = prepare(...(x.reshape([B * R * L, N, 3 * width]).split(3, 2) as [Tensor, Tensor, Tensor]))
    const far = apart.rows || apart.columns
    const mask = far ? bias.add(constant(maskOf(window, shift, apart), [1, 1, N, N])) : bias
    return attention(...parts, { heads, mask, finite: true, ...(scale !== undefined && { scale }) }).reshape([B, R, L, N, width])
  }

  return (x) => {
    const { H, W } = dims(x, 'B H W C')
    const windows = toWindows(toQkv(roll(x, -shift)), window)
    return roll(fromWindows(project(shift === 0 ? attend(windows, {}) : byBorder(windows, attend)), H, W), shift)
  }
}

/** Rows of a table [(2·window − 1)², heads], one for each distance, as biases [1, heads, N, N]. */
export function biasOf(table: Tensor, window: number, heads: number): Tensor {
  const tokens = window ** 2
  const each = table.gather(distances(window), 0)
  return each.reshape([tokens, tokens, heads]).transpose(2, 0, 1).unsqueeze(0)
}

/** Attention with a bias learnt for each distance (Liu et al. 2021, eq. 4). */
export function windowAttention(p: Params, options: WindowOptions & { readonly bias: boolean }): Layer {
  const { width, heads, window, bias } = options
  return inWindows(options, {
    toQkv: linear(p.at('qkv'), width, 3 * width, { bias }),
    prepare: (q, k, v) => [q, k, v],
    bias: biasOf(p.get('relative_position_bias_table', [(2 * window - 1) ** 2, heads], normal(0.02)), window, heads),
    project: linear(p.at('proj'), width, width),
  })
}

/** Whether windows hold pixels from opposite borders, below and above each other, or beside. */
interface Apart {
  readonly rows?: boolean
  readonly columns?: boolean
}

/** The last row and column of windows by themselves. */
function byBorder(x: Tensor, attend: (x: Tensor, apart: Apart) => Tensor): Tensor {
  const { R, L } = dims(x, 'B R L N C')
  const row = (part: Tensor, rows: boolean): Tensor => {
    const last = attend(part.slice(2, L - 1), { rows, columns: true })
    return L === 1 ? last : concat([attend(part.slice(2, 0, L - 1), { rows }), last], 2)
  }
  const last = row(x.slice(1, R - 1), true)
  return R === 1 ? last : concat([row(x.slice(1, 0, R - 1), false), last], 1)
}

/** [B, H, W, C] → [B, rows, columns, window², C]. */
function toWindows(x: Tensor, window: number): Tensor {
  const { B, H, W, C } = dims(x, 'B H W C')
  const [rows, columns] = [H / window, W / window]
  const split = x.reshape([B, rows, window, columns, window, C])
  return split.transpose(0, 1, 3, 2, 4, 5).reshape([B, rows, columns, window ** 2, C])
}

function fromWindows(x: Tensor, height: number, width: number): Tensor {
  const { B, R, L, C } = dims(x, 'B R L N C')
  const split = x.reshape([B, R, L, height / R, width / L, C])
  return split.transpose(0, 1, 3, 2, 4, 5).reshape([B, height, width, C])
}

/** Pixels [B, H, W, C] moved down and right, those that leave coming in at the other side. */
function roll(x: Tensor, by: number): Tensor {
  if (by === 0) return x
  return [1, 2].reduce((part, axis) => {
    const size = part.shape[axis] as number
    const cut = (size - by) % size
    return concat([part.slice(axis, cut), part.slice(axis, 0, cut)], axis)
  }, x)
}

const known = new Map<number, Tensor>()

/**
 * For each query and key of a window, the row of the table for their distance: the query's place less the key's. All blocks share one
 * tensor, so that what a graph makes of it is made once.
 */
function distances(window: number): Tensor {
  const n = window ** 2
  const place = (i: number) => [Math.floor(i / window), i % window] as const
  const rows = (i: number) => {
    const [[qy, qx], [ky, kx]] = [place(Math.floor(i / n)), place(i % n)]
    return (qy - ky + window - 1) * (2 * window - 1) + (qx - kx + window - 1)
  }
  const made = known.get(window) ?? constant(Int32Array.from({ length: n * n }, (_, i) => rows(i)))
  known.set(window, made)
  return made
}

function maskOf(window: number, shift: number, { rows = false, columns = false }: Apart): Float32Array {
  const n = window ** 2
  const side = (i: number) => {
    const [y, x] = [Math.floor(i / window), i % window]
    return (rows && y >= window - shift ? 2 : 0) + (columns && x >= window - shift ? 1 : 0)
  }
  return Float32Array.from({ length: n * n }, (_, i) => (side(Math.floor(i / n)) === side(i % n) ? 0 : APART))
}

export interface SwinBlockOptions extends WindowOptions {
  /** Whether the projection to queries, keys and values has a bias. */
  readonly bias: boolean
  /** Width of the feed-forward layer. */
  readonly inner: number
}

/** Attention in windows and a feed-forward layer, each after a norm and with its residual (Liu et al. 2021, eq. 3): pixels [B, H, W, C]. */
export function swinBlock(p: Params, options: SwinBlockOptions): Layer {
  const { width, inner } = options
  const norms = ['norm1', 'norm2'].map((name) => layerNorm(p.at(name), width)) as [Layer, Layer]
  const attend = windowAttention(p.at('attn'), options)
  const wide = linear(p.at('mlp', 'fc1'), width, inner)
  const narrow = linear(p.at('mlp', 'fc2'), inner, width)
  return (x) => {
    const y = x.add(attend(norms[0](x)))
    return y.add(narrow(wide(norms[1](y)).gelu()))
  }
}
