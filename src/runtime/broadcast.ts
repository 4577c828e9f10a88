export type BinaryOp = keyof typeof kernels

/** n results out[o + i] from a[p + i·s] and b[q + i·t]: a stride is 1, or 0 where an operand repeats. */
type Kernel = (
  ...args: [out: Float32Array, o: number, n: number, a: Float32Array, p: number, s: number, b: Float32Array, q: number, t: number]
) => void

// One plain loop an operation: a shared loop that calls an operation per element runs several times slower.
const kernels = {
  add: ((out, o, n, a, p, s, b, q, t) => {
    for (let i = 0; i < n; i++) out[o + i] = (a[p + i * s] as number) + (b[q + i * t] as number)
  }) as Kernel,
  sub: ((out, o, n, a, p, s, b, q, t) => {
    for (let i = 0; i < n; i++) out[o + i] = (a[p + i * s] as number) - (b[q + i * t] as number)
  }) as Kernel,
  mul: ((out, o, n, a, p, s, b, q, t) => {
    for (let i = 0; i < n; i++) out[o + i] = (a[p + i * s] as number) * (b[q + i * t] as number)
  }) as Kernel,
  div: ((out, o, n, a, p, s, b, q, t) => {
    for (let i = 0; i < n; i++) out[o + i] = (a[p + i * s] as number) / (b[q + i * t] as number)
  }) as Kernel,
  maximum: ((out, o, n, a, p, s, b, q, t) => {
    for (let i = 0; i < n; i++) out[o + i] = Math.max(a[p + i * s] as number, b[q + i * t] as number)
  }) as Kernel,
  minimum: ((out, o, n, a, p, s, b, q, t) => {
    for (let i = 0; i < n; i++) out[o + i] = Math.min(a[p + i * s] as number, b[q + i * t] as number)
  }) as Kernel,
}

/** Row-major strides, in elements. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length)
  for (let i = shape.length - 1, step = 1; i >= 0; i--) {
    strides[i] = step
    step *= shape[i] as number
  }
  return strides
}

/** Writes op(a, b), both broadcast to `shape`, into `out`. Neighbouring axes that repeat alike run as one loop. */
export function broadcastInto(
  op: BinaryOp,
  out: Float32Array,
  shape: readonly number[],
  a: Float32Array,
  aShape: readonly number[],
  b: Float32Array,
  bShape: readonly number[],
): void {
  const kernel: Kernel = kernels[op]
  const repeats = (of: readonly number[], i: number) => (of[of.length - shape.length + i] ?? 1) === 1
  const axes: { n: number; a: boolean; b: boolean }[] = []
  for (const [i, n] of shape.entries()) {
    if (n === 1) continue
    const axis = { n, a: repeats(aShape, i), b: repeats(bShape, i) }
    const last = axes.at(-1)
    if (last && last.a === axis.a && last.b === axis.b) last.n *= n
    else axes.push(axis)
  }
  const inner = axes.pop() ?? { n: out.length, a: false, b: false }
  const walk = (axis: number, o: number, p: number, q: number): void => {
    if (axis === axes.length) {
      kernel(out, o, inner.n, a, p, inner.a ? 0 : 1, b, q, inner.b ? 0 : 1)
      return
    }
    const { n, a: aRepeats, b: bRepeats } = axes[axis] as (typeof axes)[number]
    const below = [...axes.slice(axis + 1), inner]
    const step = (repeated: 'a' | 'b') => below.reduce((size, x) => (x[repeated] ? size : size * x.n), 1)
    const [so, sa, sb] = [below.reduce((size, x) => size * x.n, 1), aRepeats ? 0 : step('a'), bRepeats ? 0 : step('b')]
    for (let i = 0; i < n; i++) walk(axis + 1, o + i * so, p + i * sa, q + i * sb)
  }
  walk(0, 0, 0, 0)
}
