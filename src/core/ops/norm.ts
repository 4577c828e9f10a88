import { ArgumentError, ShapeError } from '../errors.ts'
import type { Spec, Tensor } from '../graph.ts'
import { range, type Shape, sameShape, showShape } from '../shape.ts'
import { at, checkDTypes, op } from './op.ts'

interface NormAttrs {
  readonly eps: number
}

/** The ε of most networks. */
const EPS = 1e-5

const mean = (x: Tensor, axes: readonly number[]) => x.mean(axes, true)

/** x̂ = (x − mean)/√(var + ε) over some axes, and the root. */
function standardized(x: Tensor, axes: readonly number[], eps: number): { normal: Tensor; deviation: Tensor } {
  const centred = x.sub(mean(x, axes))
  const deviation = mean(centred.square(), axes).add(eps).sqrt()
  return { normal: centred.div(deviation), deviation }
}

/** Cotangent through x̂ (Ioffe and Szegedy 2015, the three terms joined). */
function throughStandardize(g: Tensor, normal: Tensor, deviation: Tensor, axes: readonly number[]): Tensor {
  return g
    .sub(mean(g, axes))
    .sub(normal.mul(mean(g.mul(normal), axes)))
    .div(deviation)
}

export interface GroupNormAttrs extends NormAttrs {
  readonly groups: number
}

/** Group norm (Wu and He 2018): x [B, C, …], weight [C], bias [C]; the channels of a group share mean and variance. */
export const groupNorm = op<GroupNormAttrs>('groupNorm', {
  shape: (inputs, { groups, eps }) => {
    const [x, weight, bias] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
    checkDTypes('groupNorm', inputs, 'floats')
    checkEps('groupNorm', eps)
    if (x.rank < 2) throw new ShapeError(`groupNorm: ${x.describe()} ${showShape(x.shape)} must be [B, C, …]`)
    const channels = at(x.shape, 1)
    if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0)
      throw new ArgumentError(`groupNorm by ${weight.describe()}: ${channels} channels do not split into ${groups} groups`)
    for (const p of [weight, bias]) {
      if (!sameShape(p.shape, [channels]))
        throw new ShapeError(`groupNorm of ${x.describe()}: ${p.describe()} must be [${channels}], is ${showShape(p.shape)}`)
    }
    return x
  },
  lower: (b, operands, { inputs: [x], attrs: { groups, eps }, shape, dtype }) => {
    const source = x as Tensor
    const filled = (value: number) => b.emit('Expand', [b.scalar(value, dtype), b.ints([groups])])
    const reshape = (name: string, to: Shape) => b.emit('Reshape', [name, b.ints(to)])
    const normalized = (name: string, epsilon: number) => {
      const flat = reshape(name, [at(shape, 0), groups, source.size / (at(shape, 0) * groups)])
      return reshape(b.emit('InstanceNormalization', [flat, filled(1), filled(0)], { epsilon: { float: epsilon } }), shape)
    }
    // WebGPU's kernel takes the ε of the first one of its size (ONNX Runtime 1.30), so all have the same: c·x with ε is x with ε/c².
    const normal =
      b.target !== 'webgpu' || eps === EPS
        ? normalized(at(operands, 0), eps)
        : normalized(b.value(source.mul(Math.sqrt(EPS / Math.max(eps, 1e-20)))), EPS)
    const [weight, bias] = [at(operands, 1), at(operands, 2)].map((p) => reshape(p, perChannel(source)))
    return b.emit('Add', [b.emit('Mul', [normal, weight as string]), bias as string])
  },
  vjp: (g, inputs, _y, { groups, eps }) => {
    const [x, weight] = [at(inputs, 0), at(inputs, 1)]
    const flat = (z: Tensor) => z.reshape([at(x.shape, 0), groups, x.size / (at(x.shape, 0) * groups)])
    const { normal, deviation } = standardized(flat(x), [2], eps)
    const gx = throughStandardize(flat(g.mul(weight.reshape(perChannel(x)))), normal, deviation, [2])
    const others = [0, ...range(x.rank).slice(2)]
    return [gx.reshape(x.shape), g.mul(normal.reshape(x.shape)).sum(others), g.sum(others)]
  },
})

/** The shape in which [C] acts on x [B, C, …]. */
const perChannel = (x: Tensor): Shape => [at(x.shape, 1), ...range(x.rank - 2).map(() => 1)]

function checkEps(name: string, eps: number): void {
  if (!(eps >= 0) || !Number.isFinite(eps)) throw new ArgumentError(`${name}: ε is ${eps}; it must be 0 or more`)
}

/** Layer norm over the last axis with a weight and a bias (Ba et al. 2016): x [.., D], weight [D], bias [D]. */
export const layerNorm = op<NormAttrs>('layerNorm', {
  shape: (inputs, { eps }) => overLast('layerNorm', inputs, eps),
  lower: (b, inputs, { attrs }) => b.emit('LayerNormalization', inputs, { axis: -1, epsilon: { float: attrs.eps } }),
  vjp: (g, inputs, _y, { eps }) => {
    const [x, weight, bias] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
    const last = [x.rank - 1]
    const { normal, deviation } = standardized(x, last, eps)
    return [throughStandardize(g.mul(weight), normal, deviation, last), g.mul(normal).sumTo(weight.shape), g.sumTo(bias.shape)]
  },
})

/** x · weight / √(mean x² + ε) over the last axis (Zhang and Sennrich 2019): x [.., D], weight [D]. */
export const rmsNorm = op<NormAttrs>('rmsNorm', {
  shape: (inputs, { eps }) => overLast('rmsNorm', inputs, eps),
  lower: (b, inputs, node) => {
    const { eps } = node.attrs
    if (b.target !== 'portable') return b.emit('SimplifiedLayerNormalization', inputs, { axis: -1, epsilon: { float: eps } })
    const [x, weight] = [at(node.inputs, 0), at(node.inputs, 1)]
    return b.value(
      x
        .div(
          mean(x.square(), [x.rank - 1])
            .add(eps)
            .sqrt(),
        )
        .mul(weight),
    )
  },
  vjp: (g, inputs, _y, { eps }) => {
    const [x, weight] = [at(inputs, 0), at(inputs, 1)]
    const last = [x.rank - 1]
    const root = mean(x.square(), last).add(eps).sqrt()
    const normal = x.div(root)
    const scaled = g.mul(weight)
    return [scaled.sub(normal.mul(mean(scaled.mul(normal), last))).div(root), g.mul(normal).sumTo(weight.shape)]
  },
})

function overLast(name: string, inputs: readonly Tensor[], eps: number): Spec {
  const x = at(inputs, 0)
  checkEps(name, eps)
  if (x.rank === 0) throw new ShapeError(`${name}: ${x.describe()} has no axes`)
  const wanted: Shape = x.shape.slice(-1)
  checkDTypes(name, inputs, 'floats')
  for (const p of inputs.slice(1)) {
    if (p.rank !== 1 || p.shape[0] !== wanted[0]) {
      throw new ShapeError(
        `${name} of ${x.describe()} ${showShape(x.shape)}: ${p.describe()} must be ${showShape(wanted)}, is ${showShape(p.shape)}`,
      )
    }
  }
  return x
}
