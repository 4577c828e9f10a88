import { dims, sizeOf } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'

/** What the decoder says of pixels as mapped into [0.1, 0.9]: of each a logit-Laplace distribution, [B, C, H, W] both. */
export interface PixelDistribution {
  readonly mean: Tensor
  /** The logarithm of the width b. */
  readonly logScale: Tensor
}

/** How far from 0 and 1 pixels are kept, where the density has no end (Ramesh et al. 2021, appendix A.3). */
const MARGIN = 0.1

/** Pixels in [0, 1] into [0.1, 0.9]. */
export const mapPixels = (x: Tensor): Tensor => x.mul(1 - 2 * MARGIN).add(MARGIN)

/** Mapped pixels back into [0, 1], clipped. */
export const unmapPixels = (x: Tensor): Tensor =>
  x
    .sub(MARGIN)
    .div(1 - 2 * MARGIN)
    .clip(0, 1)

/**
 * The logarithm of the logit-Laplace density, the distribution of the sigmoid of a Laplace variable (Ramesh et al. 2021, appendix A.3,
 * eq. 2): ln f(x | μ, b) = −ln(2b·x(1−x)) − |logit x − μ|/b, in nats, elementwise.
 *
 * @param x pixels in (0, 1), mapped
 */
export function logitLaplace(x: Tensor, { mean, logScale }: PixelDistribution): Tensor {
  const [one, other] = [x.log(), x.neg().add(1).log()]
  const error = one.sub(other).sub(mean).abs().mul(logScale.neg().exp())
  return logScale.add(Math.LN2).add(one).add(other).add(error).neg()
}

/** KL divergence from uniform over K codes, in nats for each position: logits [B, K, h, w] → [B, h, w]. */
export function divergenceFromUniform(logits: Tensor): Tensor {
  const { K } = dims(logits, 'B K H W')
  const log = logits.logSoftmax(1)
  return log
    .exp()
    .mul(log.add(Math.log(K)))
    .sum(1)
}

/**
 * [B, K, H, W] logits → []: the divergence of all tokens' mean distribution from the uniform one, in nats; 0 where all codes are used alike,
 * ln K where one is used alone. Baevski et al. 2020, equation 4, up to sign and scale.
 */
export function usageDivergence(logits: Tensor): Tensor {
  const { K } = dims(logits, 'B K H W')
  const used = logits.softmax(1).mean([0, 2, 3])
  return used.mul(used.add(1e-10).log().add(Math.log(K))).sum()
}

/**
 * The weight that β has where both terms are means, the density's over a picture's values and the divergence's over its tokens: β times
 * tokens over values, β/192 at a factor of 8 and three channels (Ramesh et al. 2021, appendix A.2).
 *
 * @param tokens shape of one picture's grid
 * @param values shape of one picture
 */
export const effectiveBeta = (beta: number, tokens: readonly number[], values: readonly number[]): number =>
  (beta * sizeOf(tokens)) / sizeOf(values)
