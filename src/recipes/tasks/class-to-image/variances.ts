import type { Tensor } from '../../../core/tensor.ts'
import type { GaussianDiffusion } from '../../../diffusion/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'

/** Of each picture of a batch, [B, 1, 1, 1]. */
export interface BoundFeeds {
  /** The squared factor from an error of the prediction to one of the reverse step's mean. */
  readonly meanWeight: NdArray
  /** Logarithms of the least and the greatest variance: the posterior's and β. */
  readonly low: NdArray
  readonly high: NdArray
}

/** What `boundTerms` needs of timesteps. The first, whose posterior has no variance, takes the second's. */
export function boundFeeds(
  { betas, alphasCumprod }: Pick<GaussianDiffusion, 'betas' | 'alphasCumprod'>,
  prediction: 'epsilon' | 'v_prediction',
  times: readonly number[],
): BoundFeeds {
  const bar = (t: number) => (t < 0 ? 1 : (alphasCumprod[t] as number))
  const column = (of: (t: number) => number) => NdArray.from(times.map(of), [times.length, 1, 1, 1])
  return {
    meanWeight: column((t) => {
      const data = (Math.sqrt(bar(t - 1)) * (betas[t] as number)) / (1 - bar(t))
      const share = prediction === 'v_prediction' ? 1 : 1 / bar(t)
      return data ** 2 * (1 - bar(t)) * share
    }),
    low: column((t) => {
      const at = Math.max(t, 1)
      return Math.log(((betas[at] as number) * (1 - bar(at - 1))) / (1 - bar(at)))
    }),
    high: column((t) => Math.log(betas[t] as number)),
  }
}

/**
 * Terms of the variational bound in bits per dimension, [B]: the divergence of the posterior from a step whose log variance is `v`
 * [B, C, H, W] between the least (−1) and the greatest (1). It has a gradient for `v` alone (Nichol and Dhariwal 2021, eqs. 14 to 16).
 *
 * @param error the squared error of the prediction, [B, C, H, W]
 */
export function boundTerms(error: Tensor, v: Tensor, { meanWeight, low, high }: Record<keyof BoundFeeds, Tensor>): Tensor {
  const share = v.add(1).div(2)
  const logVariance = low.add(high.sub(low).mul(share))
  const apart = error.stopGradient().mul(meanWeight)
  const ratio = low.sub(logVariance)
  const divergence = ratio.exp().sub(ratio).sub(1).add(apart.mul(logVariance.neg().exp())).div(2)
  return divergence.mean([1, 2, 3]).div(Math.LN2)
}
