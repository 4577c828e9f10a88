import { input } from '../core/tensor.ts'
import { linear } from '../nn/layers.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { TrainingTask } from './train.ts'

/** A small task for tests: a two-layer network learns the squared distance of points from the origin. */
export function circleTask({ breakAt = Number.POSITIVE_INFINITY }: { breakAt?: number } = {}): TrainingTask {
  const params = new Params()
  const [first, second] = [linear(params.at('first'), 2, 32), linear(params.at('second'), 32, 1)]
  const x = input('x', [16, 2])
  const y = input('y', [16, 1])
  let batches = 0
  return {
    params,
    loss: second(first(x).silu()).sub(y).square().mean(),
    batch(generator) {
      const points = generator.randn([16, 2])
      const at = (i: number) => points.data[i] as number
      const broken = ++batches >= breakAt ? Number.NaN : 0
      const distances = Float32Array.from({ length: 16 }, (_, i) => at(2 * i) ** 2 + at(2 * i + 1) ** 2 + broken)
      return { x: points, y: new NdArray(distances, [16, 1], 'f32') }
    },
  }
}
