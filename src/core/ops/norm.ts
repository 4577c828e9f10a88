import { ShapeError } from '../errors.ts'
import { range, type Shape, showShape } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { at, checkDTypes, op, type Spec } from './op.ts'

interface NormAttrs {
  readonly eps: number
}

/** The ε of most networks. */
const EPS = 1e-5

const mean = (x: Tensor, axes: readonly number[]) => x.mean(axes, true)

/** Cotangent through x̂ = (x − mean)/√(var + ε) over some axes (Ioffe and Szegedy 2015, the three terms joined). */
function throughStandardize(g: Tensor, x: Tensor, normal: Tensor, axes: readonly number[], eps: number): Tensor {
  const centred = x.sub(mean(x, axes))
  const deviation = mean(centred.square(), axes).add(eps).sqrt()
  return g
    .sub(mean(g, axes))
    .sub(normal.mul(mean(g.mul(normal), axes)))
    .div(deviation)
}

/** (x − mean)/√(var + ε) over all axes after the second: x [B, G, …]. Group norm is this between two reshapes. */
export const standardize = op<NormAttrs>('standardize', {
  shape: (inputs) => {
    const x = at(inputs, 0)
    checkDTypes('standardize', inputs, 'floats')
    if (x.rank < 3) throw new ShapeError(`standardize: ${x.describe()} ${showShape(x.shape)} needs an axis after the second`)
    return x
  },
  lower: (b, operands, { inputs, attrs: { eps }, shape, dtype }) => {
    const groups = at(shape, 1)
    const filled = (value: number) => b.emit('Expand', [b.scalar(value, dtype), b.ints([groups])])
    const normalized = (x: string, epsilon: number) =>
      b.emit('InstanceNormalization', [x, filled(1), filled(0)], { epsilon: { float: epsilon } })
    if (b.target !== 'webgpu' || eps === EPS) return normalized(at(operands, 0), eps)
    // WebGPU's kernel takes the ε of the first one of its size (ONNX Runtime 1.30), so all have the same: c·x with ε is x with ε/c².
    return normalized(b.value(at(inputs, 0).mul(Math.sqrt(EPS / Math.max(eps, 1e-20)))), EPS)
  },
  vjp: (g, inputs, y, { eps }) => [throughStandardize(g, at(inputs, 0), y, range(y.rank).slice(2), eps)],
})

/** Layer norm over the last axis with a weight and a bias (Ba et al. 2016): x [.., D], weight [D], bias [D]. */
export const layerNorm = op<NormAttrs>('layerNorm', {
  shape: (inputs) => overLast('layerNorm', inputs),
  lower: (b, inputs, { attrs }) => b.emit('LayerNormalization', inputs, { axis: -1, epsilon: { float: attrs.eps } }),
  vjp: (g, inputs, _y, { eps }) => {
    const [x, weight, bias] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
    const last = [x.rank - 1]
    const centred = x.sub(mean(x, last))
    const normal = centred.div(mean(centred.square(), last).add(eps).sqrt())
    return [throughStandardize(g.mul(weight), x, normal, last, eps), g.mul(normal).sumTo(weight.shape), g.sumTo(bias.shape)]
  },
})

/** x · weight / √(mean x² + ε) over the last axis (Zhang and Sennrich 2019): x [.., D], weight [D]. */
export const rmsNorm = op<NormAttrs>('rmsNorm', {
  shape: (inputs) => overLast('rmsNorm', inputs),
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

function overLast(name: string, inputs: readonly Tensor[]): Spec {
  const x = at(inputs, 0)
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
