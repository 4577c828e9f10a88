/** How a network is wrapped so that its input, output and target have unit variance: D = skip·x + out·F(in·x, noise). */
export interface Preconditioning {
  readonly skip: number
  readonly out: number
  readonly in: number
  /** What the network is told of the noise level. */
  readonly noise: number
  /** The weight of ‖D − x0‖² at which F's loss has weight 1. */
  readonly weight: number
}

/** Karras et al. 2022, table 1, last column, for the path `ve`; `sigmaData` is the data's standard deviation. */
export function preconditioning(sigma: number, sigmaData = 0.5): Preconditioning {
  const total = sigma ** 2 + sigmaData ** 2
  return {
    skip: sigmaData ** 2 / total,
    out: (sigma * sigmaData) / Math.sqrt(total),
    in: 1 / Math.sqrt(total),
    noise: Math.log(sigma) / 4,
    weight: total / (sigma * sigmaData) ** 2,
  }
}

/** As preconditioning, but with the data untouched at σ = `min`, as a consistency function must leave it (Song et al. 2023, appendix C). */
export function consistencyScaling(
  sigma: number,
  { sigmaData = 0.5, min = 0.002 } = {},
): { readonly skip: number; readonly out: number } {
  return {
    skip: sigmaData ** 2 / ((sigma - min) ** 2 + sigmaData ** 2),
    out: ((sigma - min) * sigmaData) / Math.sqrt(sigma ** 2 + sigmaData ** 2),
  }
}
