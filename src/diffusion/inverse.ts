import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Denoise } from './denoiser.ts'
import { type DenoiserJvp, finiteDifferences } from './likelihood.ts'
import { levelOf, type Path, vp } from './paths.ts'

/** A linear operator on samples [B, …] with its transpose. */
export interface LinearOperator {
  readonly forward: (x: NdArray) => NdArray
  readonly adjoint: (y: NdArray) => NdArray
}

/** Keeps the elements where the mask is 1. The mask broadcasts to x. */
export const masking = (mask: NdArray): LinearOperator => ({ forward: (x) => x.mul(mask), adjoint: (y) => y.mul(mask) })

/** [B, C, H, W] → [B, C, H/f, W/f]: means of f×f blocks, the measurement of super-resolution. */
export function averaging(factor: number): LinearOperator {
  const split = ([b, c, h, w]: readonly number[]) => [b, c, h, factor, w, factor] as number[]
  return {
    forward: (x) => {
      const [b, c, h, w] = x.shape as [number, number, number, number]
      if (h % factor || w % factor)
        throw new ArgumentError(`averaging: [${x.shape.join(', ')}] has no whole number of ${factor}×${factor} blocks`)
      return x.reshape(split([b, c, h / factor, w / factor])).mean({ axes: [3, 5] })
    },
    adjoint: (y) => {
      const [b, c, h, w] = y.shape as [number, number, number, number]
      const wide = y.reshape([b, c, h, 1, w, 1]).expand(split([b, c, h, w]))
      return wide.reshape([b, c, h * factor, w * factor]).div(factor * factor)
    },
  }
}

/** [B, C, H, W]: convolution with a kernel of odd sides [k, l], the picture taken as periodic; the measurement of deblurring. */
export function blurring(kernel: NdArray): LinearOperator {
  const [k, l] = kernel.shape as [number, number]
  if (kernel.shape.length !== 2 || k % 2 === 0 || l % 2 === 0)
    throw new ArgumentError(`blurring: expected a kernel of odd sides [k, l], got [${kernel.shape.join(', ')}]`)
  const roll = (x: NdArray, axis: number, by: number) => {
    const n = x.shape[axis] as number
    const at = ((-by % n) + n) % n
    return at === 0 ? x : NdArray.concat([x.slice(axis, at), x.slice(axis, 0, at)], axis)
  }
  const convolve = (x: NdArray, sign: 1 | -1) => {
    let sum: NdArray = x.mul(0)
    for (let i = 0; i < k; i++)
      for (let j = 0; j < l; j++) {
        const weight = kernel.data[i * l + j] as number
        if (weight !== 0) sum = sum.add(roll(roll(x, 2, sign * (i - (k - 1) / 2)), 3, sign * (j - (l - 1) / 2)).mul(weight))
      }
    return sum
  }
  return { forward: (x) => convolve(x, 1), adjoint: (y) => convolve(y, -1) }
}

export interface InverseProblem {
  /** y = A x0 + noise·n. */
  readonly operator: LinearOperator
  readonly measurement: NdArray
  /** Standard deviation of the measurement's noise. */
  readonly noise?: number
  readonly path?: Path
  /**
   * The denoiser's Jacobian, transposed, times a vector. A perfect denoiser's is symmetric (it is a covariance), so that finite
   * differences along the vector will do; a network has its own gradient.
   */
  readonly vjp?: DenoiserJvp
}

/**
 * Posterior sampling by pseudo-inverse guidance, ΠGDM (Song et al. 2023b, eq. 7): p(x0 | x) is taken as N(D, r²), so that
 * ∇ ln p(y | x) = Jᵀ Aᵀ (r² AAᵀ + noise²)⁻¹ (y − A D). With r² = σ²s²/(σ² + s²α²), s the data's spread, it is exact for Gaussians.
 */
export function pseudoInverseGuided(denoise: Denoise, problem: InverseProblem & { readonly dataStd?: number }): Denoise {
  const { operator, measurement, noise = 0, path = vp, dataStd = 1, vjp = finiteDifferences(denoise) } = problem
  return async (x, sigma) => {
    const data = await denoise(x, sigma)
    if (sigma === 0) return data
    const { alpha } = levelOf(path, sigma)
    const spread = (sigma * dataStd) ** 2 / (sigma ** 2 + (alpha * dataStd) ** 2)
    const normal = (v: NdArray) =>
      operator
        .forward(operator.adjoint(v))
        .mul(spread)
        .add(v.mul(noise * noise))
    const residual = conjugateGradients(normal, measurement.sub(operator.forward(data)))
    return data.add((await vjp(x, sigma, operator.adjoint(residual))).mul((sigma * sigma) / alpha))
  }
}

/**
 * Diffusion posterior sampling, DPS (Chung et al. 2023, Algorithm 1): a step of size ζ/‖y − A D‖ down ∇ₓ‖y − A D‖². Here it is a
 * denoiser, so that any sampler will do: the data moves by 2ζ·Jᵀ Aᵀ(y − A D)/‖y − A D‖.
 */
export function posteriorGuided(denoise: Denoise, problem: InverseProblem & { readonly scale?: number }): Denoise {
  const { operator, measurement, scale = 1, vjp = finiteDifferences(denoise) } = problem
  return async (x, sigma) => {
    const data = await denoise(x, sigma)
    const residual = measurement.sub(operator.forward(data))
    const norm = residual.norm({ axes: residual.shape.map((_, i) => i).slice(1), keep: true }).maximum(1e-12)
    const pull = await vjp(x, sigma, operator.adjoint(residual.div(norm)))
    return data.add(pull.mul(2 * scale))
  }
}

/** Solves a symmetric, positive (semi-)definite system by conjugate gradients, all samples as one. */
function conjugateGradients(apply: (v: NdArray) => NdArray, b: NdArray, steps = 50): NdArray {
  let x: NdArray = b.mul(0)
  let [residual, direction]: [NdArray, NdArray] = [b, b]
  let size = residual.dot(residual)
  const enough = 1e-12 * size
  for (let i = 0; i < steps && size > enough; i++) {
    const image = apply(direction)
    const curvature = direction.dot(image)
    if (curvature <= 0) break
    x = x.add(direction.mul(size / curvature))
    residual = residual.sub(image.mul(size / curvature))
    const next = residual.dot(residual)
    direction = residual.add(direction.mul(next / size))
    size = next
  }
  return x
}
