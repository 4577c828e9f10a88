import { filterSeparable, type UnitImage } from './planes.ts'

/** Pixels a side of the blur, and its standard deviation: OpenCV's for that side. */
const SIDE = 51
const SIGMA = 0.3 * ((SIDE - 1) / 2 - 1) + 0.8

const line = (() => {
  const bell = Float64Array.from({ length: SIDE }, (_, i) => Math.exp(-((i - (SIDE - 1) / 2) ** 2) / (2 * SIGMA ** 2)))
  const sum = bell.reduce((total, weight) => total + weight, 0)
  return bell.map((weight) => weight / sum)
})()

/**
 * Unsharp masking: half of a picture's difference from its blur is added, near edges of more than 10 levels (Wang et al. 2021, section 3.3).
 * Networks that learn from such pictures draw sharper ones.
 */
export function unsharpMask(image: UnitImage, { weight = 0.5, threshold = 10 } = {}): UnitImage {
  const residual = image.sub(filterSeparable(image, line))
  const near = filterSeparable(
    residual.map((value) => (Math.abs(value) * 255 > threshold ? 1 : 0)),
    line,
  )
  return image.map((value, i) => {
    const sharp = Math.min(1, Math.max(0, value + weight * (residual.data[i] as number)))
    const share = near.data[i] as number
    return share * sharp + (1 - share) * value
  })
}
