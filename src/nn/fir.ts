import { conv, convTranspose } from '../core/functions.ts'
import { constant, type Tensor } from '../core/tensor.ts'

/** The filter of NCSN++, a cubic B-spline's weights, before normalising. */
const binomial = [1, 3, 3, 1] as const

/** The separable filter on every channel by itself: [C, 1, n, n], its elements adding up to `gain`. */
function filter(channels: number, gain: number): Tensor {
  const n = binomial.length
  const sum = binomial.reduce((a, b) => a + b, 0) ** 2
  const window = binomial.flatMap((a) => binomial.map((b) => (a * b * gain) / sum))
  const weights = Float32Array.from({ length: channels * n * n }, (_, i) => window[i % (n * n)] as number)
  return constant(weights, [channels, 1, n, n])
}

/** Low-passed, then every second pixel (Zhang 2019; Karras et al. 2020, appendix B): [B, C, H, W] → [B, C, H/2, W/2]. */
export function firDownsample(x: Tensor): Tensor {
  const channels = x.shape[1] as number
  return conv(x, filter(channels, 1), { stride: 2, padding: 1, groups: channels })
}

/** Zeros between the pixels, then low-passed (Karras et al. 2020, appendix B): [B, C, H, W] → [B, C, 2H, 2W]. */
export function firUpsample(x: Tensor): Tensor {
  const channels = x.shape[1] as number
  return convTranspose(x, filter(channels, 4), { stride: 2, padding: 1, groups: channels })
}
