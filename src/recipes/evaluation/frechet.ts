import { EigenvalueDecomposition, Matrix } from 'ml-matrix'
import { ArgumentError } from '../../core/errors.ts'
import { dims } from '../../core/shape.ts'
import type { NdArray } from '../../runtime/ndarray.ts'

/** A Gaussian fitted to vectors: their mean [D] and covariance [D, D]. */
export interface GaussianFit {
  readonly mean: readonly number[]
  readonly covariance: Matrix
}

/**
 * The mean of vectors [N, D], and their covariance with N − 1 below.
 *
 * @param rows which of them, repeats allowed; all unless given
 */
export function fitGaussian(vectors: NdArray<'f32'>, rows?: readonly number[]): GaussianFit {
  const { N, D } = dims(vectors, 'N D')
  const chosen = rows ?? Array.from({ length: N }, (_, i) => i)
  if (chosen.length < 2) throw new ArgumentError(`fitGaussian: a covariance needs 2 vectors, got ${chosen.length}`)
  const { data } = vectors
  const mean = new Array<number>(D).fill(0)
  for (const row of chosen)
    for (let i = 0; i < D; i++) mean[i] = (mean[i] as number) + (data[row * D + i] as number) / chosen.length
  const covariance = Matrix.zeros(D, D)
  const sums = new Float64Array(D * D)
  const centred = new Float64Array(D)
  for (const row of chosen) {
    for (let i = 0; i < D; i++) centred[i] = (data[row * D + i] as number) - (mean[i] as number)
    for (let i = 0; i < D; i++) {
      const x = centred[i] as number
      for (let j = i; j < D; j++) sums[i * D + j] = (sums[i * D + j] as number) + x * (centred[j] as number)
    }
  }
  for (let i = 0; i < D; i++)
    for (let j = i; j < D; j++) {
      const value = (sums[i * D + j] as number) / (chosen.length - 1)
      covariance.set(i, j, value)
      covariance.set(j, i, value)
    }
  return { mean, covariance }
}

/**
 * Squared Fréchet distances of Gaussians to one of them: |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2(Σ₁^½ Σ₂ Σ₁^½)^½) (Dowson and Landau 1982).
 * The trace of that root is the sum of the roots of eigenvalues, as the matrix within is symmetric.
 */
export function frechetTo(reference: GaussianFit): (other: GaussianFit) => number {
  const root = symmetricRoot(reference.covariance)
  return ({ mean, covariance }) => {
    if (mean.length !== reference.mean.length)
      throw new ArgumentError(`frechetTo: vectors of ${reference.mean.length} and of ${mean.length} numbers cannot be compared`)
    const shift = mean.reduce((sum, m, i) => sum + (m - (reference.mean[i] as number)) ** 2, 0)
    const inner = root.mmul(covariance).mmul(root)
    const shared = eigen(inner).realEigenvalues.reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0)
    return shift + reference.covariance.trace() + covariance.trace() - 2 * shared
  }
}

/** The squared Fréchet distance of two Gaussians. */
export const frechetDistance = (a: GaussianFit, b: GaussianFit): number => frechetTo(a)(b)

/** Rounding leaves a product a little asymmetric, and eigenvalues of rank-deficient matrices a little below 0. */
const eigen = (matrix: Matrix) =>
  new EigenvalueDecomposition(Matrix.add(matrix, matrix.transpose()).div(2), { assumeSymmetric: true })

function symmetricRoot(matrix: Matrix): Matrix {
  const { eigenvectorMatrix: vectors, realEigenvalues } = eigen(matrix)
  const roots = realEigenvalues.map((value) => Math.sqrt(Math.max(0, value)))
  return vectors.mmul(Matrix.diag(roots)).mmul(vectors.transpose())
}
