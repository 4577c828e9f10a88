import { checkElement, type DType, isFloat } from '../dtype.ts'
import { ArgumentError, DTypeError } from '../errors.ts'
import { build, type Lowering, type Op, type Spec, type Tensor } from '../graph.ts'
import { broadcastShapes } from '../shape.ts'
import { type Accepts, at, checkDTypes, op } from './op.ts'

const same =
  (name: string, accepts: Accepts) =>
  (inputs: readonly Tensor[]): Spec => {
    checkDTypes(name, inputs, accepts)
    return at(inputs, 0)
  }

const broadcast =
  (name: string, accepts: Accepts, dtype?: DType) =>
  (inputs: readonly Tensor[]): Spec => {
    const [x, y] = [at(inputs, 0), at(inputs, 1)]
    checkDTypes(name, inputs, accepts)
    return { shape: broadcastShapes(x.shape, y.shape, `${name} of ${x.describe()} and ${y.describe()}`), dtype: dtype ?? x.dtype }
  }

/** An operation on one tensor whose gradient is `g · slope`. */
const unary = (name: string, lower: string, slope: (g: Tensor, x: Tensor, y: Tensor) => Tensor, accepts: Accepts = 'floats') =>
  op(name, { shape: same(name, accepts), lower, vjp: (g, [x], y) => [slope(g, x as Tensor, y)] })

const binary = (
  name: string,
  lower: Op['lower'],
  vjp: (g: Tensor, x: Tensor, y: Tensor, out: Tensor) => [Tensor, Tensor],
  accepts: Accepts = 'numbers',
) =>
  op(name, {
    shape: broadcast(name, accepts),
    lower,
    vjp: (g, inputs, out) => {
      const [x, y] = [at(inputs, 0), at(inputs, 1)]
      const [gx, gy] = vjp(g, x, y, out)
      return [gx.sumTo(x.shape), gy.sumTo(y.shape)]
    },
  })

const comparison = (name: string, lower: string, accepts: Accepts = 'numbers') =>
  op(name, { shape: broadcast(name, accepts, 'bool'), lower, vjp: 'not differentiable' })

export const neg = unary('neg', 'Neg', (g) => g.neg(), 'wide')
export const exp = unary('exp', 'Exp', (g, _, y) => g.mul(y))
export const log = unary('log', 'Log', (g, x) => g.div(x))
export const sqrt = unary('sqrt', 'Sqrt', (g, _, y) => g.div(y.mul(2)))
export const abs = unary('abs', 'Abs', (g, x) => g.mul(x.sign()), 'numbers')
export const tanh = unary('tanh', 'Tanh', (g, _, y) => g.mul(y.square().neg().add(1)))
/** 1/(1 + e⁻ˣ), written so because ONNX Runtime's Sigmoid is rounded to 2⁻²⁵ and is 0 from −18 down. */
export const sigmoid = op('sigmoid', {
  shape: same('sigmoid', 'floats'),
  lower: (b, _, { inputs, dtype }) => {
    const exponential = b.value(at(inputs, 0).neg().exp())
    return b.emit('Reciprocal', [b.emit('Add', [exponential, b.scalar(1, dtype)])])
  },
  vjp: (g, [x], y) => [g.mul(y.mul((x as Tensor).neg().sigmoid()))],
})
/** σ to the absolute precision that a product with x needs, in one kernel. */
export const gate = op('gate', {
  shape: same('gate', 'floats'),
  lower: 'Sigmoid',
  vjp: (g, _, y) => [g.mul(y.mul(y.neg().add(1)))],
})
const gateOf = (x: Tensor): Tensor => build(gate, [x])
/** max(x, 0). Its slope at 0 is 0, as in PyTorch. */
export const relu = op('relu', {
  shape: same('relu', 'numbers'),
  lower: (b, [x], { dtype }) =>
    isFloat(dtype) ? b.emit('Relu', [x as string]) : b.emit('Max', [x as string, b.scalar(0, dtype)]),
  vjp: (g, [x]) => [g.mul((x as Tensor).gt(0).cast(g.dtype))],
})
/**
 * ln(1 + eˣ) = max(x, 0) + log1p(e^−|x|). With w = 1 + u rounded, log1p(u) is u where w is 1, else u · ln w/(w − 1), whose
 * two errors cancel (Goldberg 1991, theorem 4).
 */
export const softplus = op('softplus', {
  shape: same('softplus', 'floats'),
  lower: (b, _, { inputs }) => {
    const x = at(inputs, 0)
    const u = x.abs().neg().exp()
    const w = u.add(1)
    return b.value(x.maximum(0).add(whereOf(w.eq(1), u, u.mul(w.log().div(w.sub(1))))))
  },
  vjp: (g, [x]) => [g.mul((x as Tensor).sigmoid())],
})
export const erf = unary('erf', 'Erf', (g, x) =>
  g.mul(
    x
      .square()
      .neg()
      .exp()
      .mul(2 / Math.sqrt(Math.PI)),
  ),
)
export const sin = unary('sin', 'Sin', (g, x) => g.mul(x.cos()))
export const cos = unary('cos', 'Cos', (g, x) => g.mul(x.sin().neg()))
/** −1, 0 or 1. WebGPU's provider has no Sign, so there it is two comparisons. */
export const sign = op('sign', {
  shape: same('sign', 'numbers'),
  lower: (b, [x], node) => {
    if (b.target !== 'webgpu') return b.emit('Sign', [x as string])
    const input = at(node.inputs, 0)
    return b.value(input.gt(0).cast(input.dtype).sub(input.lt(0).cast(input.dtype)))
  },
  vjp: 'not differentiable',
})
export const floor = op('floor', { shape: same('floor', 'floats'), lower: 'Floor', vjp: 'not differentiable' })
export const round = op('round', { shape: same('round', 'floats'), lower: 'Round', vjp: 'not differentiable' })

export const add = binary('add', 'Add', (g) => [g, g])
export const sub = binary('sub', 'Sub', (g) => [g, g.neg()])
export const mul = binary('mul', 'Mul', (g, x, y) => [g.mul(y), g.mul(x)])
export const div = binary('div', 'Div', (g, _, y, out) => [g.div(y), g.mul(out).div(y).neg()])
/** As in PyTorch the gradients at x = 0 are 0 for an exponent of 0, and 0 for the exponent itself where it is not negative. */
export const pow = binary(
  'pow',
  lowerPow,
  (g, x, y, out) => [
    g.mul(y).mul(x.pow(whereOf(y.eq(0), y.like(1), y).sub(1))),
    g.mul(out).mul(whereOf(x.eq(0).and(y.ge(0)), x.like(1), x).log()),
  ],
  'wide',
)
/** WebGPU's Pow fails where an operand is repeated along the last axis, unless it is one element (ONNX Runtime 1.30). */
function lowerPow(b: Lowering, operands: readonly string[], { inputs, shape }: Tensor): string {
  if (b.target !== 'webgpu') return b.emit('Pow', operands)
  const [x, y] = inputs.map((z) => b.value(z.rank <= 1 && z.size === 1 ? z : z.expand(shape))) as [string, string]
  return b.emit('Pow', [x, y])
}

/** Where both are equal, each takes half of the gradient, as in PyTorch. */
export const maximum = binary('maximum', 'Max', (g, x, y) => [g.mul(share(x, y)), g.mul(share(y, x))])
export const minimum = binary('minimum', 'Min', (g, x, y) => [g.mul(share(y, x)), g.mul(share(x, y))])
const share = (x: Tensor, y: Tensor) => x.gt(y).cast(x.dtype).add(x.eq(y).cast(x.dtype).mul(0.5))

/** min(max(x, lo), hi); the gradient passes where lo ≤ x ≤ hi. */
export const clip = op<{ lo: number; hi: number }>('clip', {
  shape: (inputs, { lo, hi }) => {
    const spec = same('clip', 'numbers')(inputs)
    const place = `clip of ${at(inputs, 0).describe()}`
    for (const bound of [lo, hi]) checkElement(place, bound, spec.dtype)
    if (Number.isNaN(lo) || Number.isNaN(hi)) throw new ArgumentError(`${place}: bounds ${lo} and ${hi} must be numbers`)
    return spec
  },
  lower: (b, [x], { attrs, dtype }) => b.emit('Clip', [x as string, b.scalar(attrs.lo, dtype), b.scalar(attrs.hi, dtype)]),
  vjp: (g, inputs, _, { lo, hi }) => {
    const x = at(inputs, 0)
    return [g.mul(x.ge(lo).and(x.le(hi)).cast(g.dtype))]
  },
})

export const eq = comparison('eq', 'Equal', 'anything')
export const lt = comparison('lt', 'Less')
export const le = comparison('le', 'LessOrEqual')
export const gt = comparison('gt', 'Greater')
export const ge = comparison('ge', 'GreaterOrEqual')
export const and = comparison('and', 'And', 'bools')
/** WebGPU's provider has no Or. */
export const or = op('or', {
  shape: broadcast('or', 'bools', 'bool'),
  lower: (b, operands, { inputs }) => {
    if (b.target !== 'webgpu') return b.emit('Or', operands)
    const [x, y] = [at(inputs, 0), at(inputs, 1)]
    return b.value(x.not().and(y.not()).not())
  },
  vjp: 'not differentiable',
})
export const not = op('not', { shape: same('not', 'bools'), lower: 'Not', vjp: 'not differentiable' })

const whereOf = (condition: Tensor, x: Tensor, y: Tensor): Tensor => build(where, [condition, x, y])

/** x where the condition holds, else y; the three broadcast. */
export const where = op('where', {
  shape: (inputs) => {
    const [c, x, y] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
    if (c.dtype !== 'bool') throw new DTypeError(`where: the condition ${c.describe()} is ${c.dtype}; it must be bool`)
    const { shape, dtype } = broadcast('where', 'anything')([x, y])
    return { shape: broadcastShapes(c.shape, shape, 'where'), dtype }
  },
  lower: (b, operands, { inputs, dtype }) => {
    if (dtype !== 'bool') return b.emit('Where', operands)
    // ONNX Runtime has no kernel for these.
    const [c, x, y] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
    return b.value(c.and(x).or(c.not().and(y)))
  },
  vjp: (g, inputs) => {
    const [c, x, y] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
    return [undefined, whereOf(c, g, g.like(0)).sumTo(x.shape), whereOf(c, g.like(0), g).sumTo(y.shape)]
  },
})

export const cast = op<{ to: DType }>('cast', {
  shape: (inputs, { to }) => ({ shape: at(inputs, 0).shape, dtype: to }),
  lower: (b, [x], node) => b.emit('Cast', [x as string], { to: onnxType[node.attrs.to] }),
  vjp: (g, inputs) => [g.cast(at(inputs, 0).dtype)],
})

/** The same values, through which no gradient passes. */
export const stopGradient = op('stopGradient', {
  shape: same('stopGradient', 'anything'),
  lower: (_, [x]) => x as string,
  vjp: 'not differentiable',
})

/** x · σ(x) (Elfwing et al. 2017), one kernel on the CPU. */
export const silu = op('silu', {
  shape: same('silu', 'floats'),
  lower: (b, inputs, node) => {
    if (b.target === 'cpu') return b.emit('QuickGelu', inputs, { alpha: { float: 1 } }, 'com.microsoft')
    const x = at(node.inputs, 0)
    return b.value(x.mul(gateOf(x)))
  },
  vjp: (g, inputs, y) => {
    const s = gateOf(at(inputs, 0))
    return [g.mul(s.add(y.sub(y.mul(s))))]
  },
})

/** x where it is positive, else slope · x (Maas et al. 2013); the gradient at 0 is the slope, as in PyTorch. */
export const leakyRelu = op<{ slope: number }>('leakyRelu', {
  shape: same('leakyRelu', 'floats'),
  lower: (b, inputs, { attrs }) => b.emit('LeakyRelu', inputs, { alpha: { float: attrs.slope } }),
  vjp: (g, inputs, _, { slope }) => [whereOf(at(inputs, 0).gt(0), g, g.mul(slope))],
})

/** Which GELU: exact by the error function, the tanh approximation, or CLIP's x·σ(1.702x). */
export type GeluKind = 'exact' | 'tanh' | 'quick'

/** x · Φ(x) (Hendrycks and Gimpel 2016). */
export const gelu = op<{ kind: GeluKind }>('gelu', {
  shape: same('gelu', 'floats'),
  lower: (b, inputs, node) => {
    const { kind } = node.attrs
    if (kind !== 'quick') return b.emit('Gelu', inputs, { approximate: kind === 'tanh' ? 'tanh' : 'none' })
    if (b.target === 'cpu') return b.emit('QuickGelu', inputs, { alpha: { float: 1.702 } }, 'com.microsoft')
    const x = at(node.inputs, 0)
    return b.value(x.mul(gateOf(x.mul(1.702))))
  },
  vjp: (g, inputs, _, { kind }) => [g.mul(geluSlope(at(inputs, 0), kind))],
})

function geluSlope(x: Tensor, kind: GeluKind): Tensor {
  if (kind === 'quick') {
    const s = gateOf(x.mul(1.702))
    return s.add(x.mul(1.702).mul(s.mul(s.neg().add(1))))
  }
  if (kind === 'exact') {
    const cdf = x.mul(Math.SQRT1_2).erf().add(1).mul(0.5)
    return cdf.add(x.mul(x.square().mul(-0.5).exp()).mul(1 / Math.sqrt(2 * Math.PI)))
  }
  const c = Math.sqrt(2 / Math.PI)
  const t = x.add(x.square().mul(x).mul(0.044715)).mul(c).tanh()
  const inner = x
    .square()
    .mul(3 * 0.044715)
    .add(1)
    .mul(c)
  return t
    .add(1)
    .mul(0.5)
    .add(x.mul(0.5).mul(t.square().neg().add(1)).mul(inner))
}

/** TensorProto.DataType of each dtype. */
export const onnxType: Record<DType, number> = { f32: 1, u8: 2, i32: 6, i64: 7, bool: 9, f16: 10, bf16: 16 }
