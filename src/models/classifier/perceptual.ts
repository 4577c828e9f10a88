import { ShapeError } from '../../core/errors.ts'
import type { Tensor } from '../../core/tensor.ts'

/**
 * How far pictures are apart in the eyes of a network: its maps of both, every place scaled to length 1, squared differences
 * summed over channels, averaged over places, levels and pictures (Zhang et al. 2018, eq. 1, all channels weighted alike).
 *
 * @param a maps [B, C, H, W] of every level, as the classifier gives them
 * @returns []
 */
export function perceptualDistance(a: readonly Tensor[], b: readonly Tensor[]): Tensor {
  const each = a.map((x, i) =>
    unit(x)
      .sub(unit(b[i] as Tensor))
      .square()
      .sum(1)
      .mean(),
  )
  const [first, ...rest] = each
  if (!first || b.length !== a.length) throw new ShapeError(`perceptualDistance: ${a.length} and ${b.length} maps`)
  return rest.reduce((sum, one) => sum.add(one), first).div(each.length)
}

const unit = (x: Tensor): Tensor => x.div(x.square().sum(1, true).add(1e-8).sqrt())
