import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'

// FreeU (Si et al. 2024): in a U-Net's decoder half of the backbone's channels are raised, and the lowest frequencies of the skip
// connection lowered. Only numbers here, so that a network can build the same from two constant matrices an axis.

export interface FreeU {
  /** b: what the first half of the backbone's channels is multiplied by. */
  readonly backbone: number
  /** s: what the lowest frequencies of the skip connection are multiplied by. */
  readonly skip: number
}

/** Published settings: of the first decoder stage and of the second. */
export const freeUSettings = {
  stableDiffusion1: [
    { backbone: 1.5, skip: 0.9 },
    { backbone: 1.6, skip: 0.2 },
  ],
  stableDiffusion2: [
    { backbone: 1.4, skip: 0.9 },
    { backbone: 1.6, skip: 0.2 },
  ],
  stableDiffusionXL: [
    { backbone: 1.3, skip: 0.9 },
    { backbone: 1.4, skip: 0.2 },
  ],
} as const satisfies Readonly<Record<string, readonly [FreeU, FreeU]>>

/**
 * The projection of an axis of n places onto its frequencies −1 and 0, [n, n] each: the two rows of a shifted Fourier transform that
 * lie within a threshold of 1 of its centre.
 */
export function lowPass(n: number): { readonly real: NdArray; readonly imaginary: NdArray } {
  if (!(Number.isInteger(n) && n >= 1)) throw new ArgumentError(`lowPass: expected a side of at least 1, got ${n}`)
  const angle = (i: number, j: number) => (-2 * Math.PI * (i - j)) / n
  const table = (of: (i: number, j: number) => number) =>
    NdArray.from(Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => of(i, j) / n)))
  return {
    // One place has one frequency.
    real: table((i, j) => (n > 1 ? 1 : 0) + Math.cos(angle(i, j))),
    imaginary: table((i, j) => (n > 1 ? Math.sin(angle(i, j)) : 0)),
  }
}

/** [B, C, H, W] with its lowest frequencies multiplied by `scale`, the rest as it is (Si et al. 2024, eqs. 5 and 6, threshold 1). */
export function fourierFilter(x: NdArray, scale: number): NdArray {
  const [b, c, h, w] = x.shape as [number, number, number, number]
  const [rows, columns] = [lowPass(h), lowPass(w)]
  const planes = x.reshape([b * c, h, w])
  const filtered = Array.from({ length: b * c }, (_, i) => {
    const plane = planes.row(i)
    const along = (m: NdArray, n: NdArray) => m.matmul(plane).matmul(n.transpose())
    return along(rows.real, columns.real).sub(along(rows.imaginary, columns.imaginary))
  })
  return x.add(
    NdArray.stack(filtered)
      .reshape(x.shape)
      .mul(scale - 1),
  )
}

/** What goes into a decoder block in place of its backbone state and skip connection, [B, C, H, W] each. */
export function freeU(
  hidden: NdArray,
  skip: NdArray,
  { backbone, skip: scale }: FreeU,
): readonly [hidden: NdArray, skip: NdArray] {
  const half = Math.floor((hidden.shape[1] as number) / 2)
  const raised = hidden.slice(1, 0, half).mul(backbone)
  return [NdArray.concat([raised, hidden.slice(1, half)], 1), fourierFilter(skip, scale)]
}
