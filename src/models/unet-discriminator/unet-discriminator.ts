import { z } from 'zod'
import { conv as convolve, resize } from '../../core/functions.ts'
import { dims, sizeOf } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { conv, type Layer } from '../../nn/layers.ts'
import { fanIn, type Init, type Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { parseConfig } from '../config.ts'

/** UNetDiscriminatorSN (realesrgan/archs/discriminator_arch.py of xinntao/Real-ESRGAN), by the names of its arguments. */
export const unetDiscriminatorSchema = z.strictObject({
  num_in_ch: z.int().positive().default(3),
  num_feat: z.int().positive().default(64),
  skip_connection: z.boolean().default(true),
})
export type UnetDiscriminatorConfig = Readonly<z.infer<typeof unetDiscriminatorSchema>>

/** @throws ModelConfigError */
export const unetDiscriminatorConfig = (value: unknown, place?: string): UnetDiscriminatorConfig =>
  parseConfig('UNetDiscriminatorSN', unetDiscriminatorSchema, value, place)

const leaky: Layer = (x) => x.leakyRelu(0.2)
/** Below this a vector counts as this long. */
const EPS = 1e-12

/**
 * Real-ESRGAN's discriminator (Wang et al. 2021, fig. 6): images [B, C, H, W] in [0, 1] → a logit for every pixel, [B, 1, H, W]; H and W are
 * multiples of 8. Keys are the published file's, the vectors `weight_u` and `weight_v` of its spectral norms among them.
 *
 * A spectral norm divides a weight by its largest singular value, σ ≈ uᵀWv (Miyato et al. 2018, eq. 11). `powerSteps` turn the stored vectors
 * towards it first: 1 in the reference's training, which keeps the turned ones, 0 in its evaluation. Here nothing is kept between
 * steps, so that a few of them do in training what the reference does over many batches.
 */
export function unetDiscriminator(p: Params, config: UnetDiscriminatorConfig, { powerSteps = 0 } = {}): Layer {
  const { num_in_ch, num_feat: width, skip_connection: skips } = config
  const halved = (name: string, inputs: number, outputs: number) =>
    spectralConv(p.at(name), { inputs, outputs, kernel: 4, stride: 2, powerSteps })
  const same = (name: string, inputs: number, outputs: number) =>
    spectralConv(p.at(name), { inputs, outputs, kernel: 3, stride: 1, powerSteps })
  const first = conv(p.at('conv0'), num_in_ch, width, 3, { padding: 1 })
  const down = [halved('conv1', width, 2 * width), halved('conv2', 2 * width, 4 * width), halved('conv3', 4 * width, 8 * width)]
  const up = [same('conv4', 8 * width, 4 * width), same('conv5', 4 * width, 2 * width), same('conv6', 2 * width, width)]
  const further = [same('conv7', width, width), same('conv8', width, width)]
  const last = conv(p.at('conv9'), width, 1, 3, { padding: 1 })
  return (images) => {
    dims(images, 'B C H W', { C: num_in_ch })
    const seen = [leaky(first(images))]
    for (const layer of down) seen.push(leaky(layer(seen.at(-1) as Tensor)))
    let x = seen.pop() as Tensor
    for (const layer of up) {
      const { H, W } = dims(x, 'B C H W')
      const y = leaky(layer(resize(x, [2 * H, 2 * W], 'bilinear')))
      const before = seen.pop() as Tensor
      x = skips ? y.add(before) : y
    }
    return last(further.reduce((y, layer) => leaky(layer(y)), x))
  }
}

interface SpectralOptions {
  readonly inputs: number
  readonly outputs: number
  readonly kernel: number
  readonly stride: number
  readonly powerSteps: number
}

/** A convolution without bias whose weight, as a matrix of its outputs, has a largest singular value of 1. */
function spectralConv(p: Params, { inputs, outputs, kernel, stride, powerSteps }: SpectralOptions): Layer {
  const size = inputs * kernel ** 2
  const weight = p.get('weight_orig', [outputs, inputs, kernel, kernel], fanIn(size))
  const matrix = weight.reshape([outputs, size])
  const fixed = matrix.stopGradient()
  let u = p.get('weight_u', [outputs], direction).stopGradient().reshape([outputs, 1])
  let v = p.get('weight_v', [size], direction).stopGradient().reshape([size, 1])
  for (let i = 0; i < powerSteps; i++) {
    v = unit(fixed.matmul(u, { transA: true }))
    u = unit(fixed.matmul(v))
  }
  const sigma = u.mul(matrix.matmul(v)).sum()
  return (x) => convolve(x, weight.div(sigma), { stride, padding: 1 })
}

const unit = (x: Tensor): Tensor => x.div(x.square().sum().sqrt().maximum(EPS)).stopGradient()

/** A vector of length 1 in any direction. */
const direction: Init = (shape, generator) => {
  const normal = generator.randn([sizeOf(shape)])
  const length = Math.sqrt(normal.data.reduce((sum, x) => sum + x * x, 0))
  return new NdArray(
    normal.data.map((x) => x / length),
    shape,
    'f32',
  )
}
