import { ArgumentError, ShapeError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'

/** Brightness in levels as super-resolution is measured on it, 16 to 235 (ITU-R BT.601): a picture [3, H, W] in [0, 1] → [H, W]. */
export function lumaOf(picture: NdArray<'f32'>): NdArray<'f32'> {
  const [C, H, W] = picture.shape
  if (picture.shape.length !== 3 || C !== 3 || !H || !W)
    throw new ShapeError(`lumaOf: expected [3, H, W], got [${picture.shape.join(', ')}]`)
  const [plane, { data }] = [H * W, picture]
  const at = (c: number, i: number) => data[c * plane + i] as number
  const luma = Float32Array.from({ length: plane }, (_, i) => 16 + 65.481 * at(0, i) + 128.553 * at(1, i) + 24.966 * at(2, i))
  return new NdArray(luma, [H, W], 'f32')
}

/** A picture [H, W] without `border` pixels at each side. */
export const inner = (x: NdArray<'f32'>, border: number): NdArray<'f32'> =>
  x.slice(0, border, (x.shape[0] as number) - border).slice(1, border, (x.shape[1] as number) - border)

/** Peak signal-to-noise ratio in decibels, of levels up to 255. */
export function psnrOfLevels(a: NdArray<'f32'>, b: NdArray<'f32'>): number {
  const error = a.sub(b).square().mean().item()
  return 10 * Math.log10(255 ** 2 / error)
}

/** Gauss's bell of 11 pixels, σ 1.5. */
const window = (() => {
  const bell = Float64Array.from({ length: 11 }, (_, i) => Math.exp(-((i - 5) ** 2) / (2 * 1.5 ** 2)))
  const sum = bell.reduce((total, weight) => total + weight, 0)
  return bell.map((weight) => weight / sum)
})()

/** Local means by the window, where it lies inside: [H, W] → [H − 10, W − 10]. */
function means(x: Float64Array, height: number, width: number): Float64Array {
  const n = window.length
  const across = new Float64Array(height * (width - n + 1))
  const columns = width - n + 1
  for (let y = 0; y < height; y++)
    for (let u = 0; u < n; u++)
      for (let c = 0; c < columns; c++)
        across[y * columns + c] = (across[y * columns + c] as number) + (window[u] as number) * (x[y * width + c + u] as number)
  const out = new Float64Array((height - n + 1) * columns)
  for (let y = 0; y < height - n + 1; y++)
    for (let v = 0; v < n; v++)
      for (let c = 0; c < columns; c++)
        out[y * columns + c] =
          (out[y * columns + c] as number) + (window[v] as number) * (across[(y + v) * columns + c] as number)
  return out
}

/** Structural similarity, the mean over the picture (Wang et al. 2004, eq. 13, K₁ 0.01 and K₂ 0.03): levels [H, W] → −1 … 1. */
export function ssimOfLevels(a: NdArray<'f32'>, b: NdArray<'f32'>): number {
  const [H, W] = a.shape as [number, number]
  if (H < 11 || W < 11) throw new ArgumentError(`ssim: ${W} × ${H} pixels; 11 a side are needed`)
  const product = (p: Float32Array, q: Float32Array) => {
    const out = new Float64Array(p.length)
    for (let i = 0; i < out.length; i++) out[i] = (p[i] as number) * (q[i] as number)
    return means(out, H, W)
  }
  const [x, y] = [a, b].map(({ data }) => means(Float64Array.from(data), H, W)) as [Float64Array, Float64Array]
  const [xx, yy, xy] = [product(a.data, a.data), product(b.data, b.data), product(a.data, b.data)]
  const [c1, c2] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2]
  let sum = 0
  for (let i = 0; i < x.length; i++) {
    const mx = x[i] as number
    const my = y[i] as number
    const variances = (xx[i] as number) - mx * mx + (yy[i] as number) - my * my
    const covariance = (xy[i] as number) - mx * my
    sum += ((2 * mx * my + c1) * (2 * covariance + c2)) / ((mx * mx + my * my + c1) * (variances + c2))
  }
  return sum / x.length
}

/** A discrete Fourier transform in place, of 2ⁿ numbers (Cooley and Tukey 1965). */
export function fourier(re: Float64Array, im: Float64Array): void {
  const n = re.length
  if (n === 0 || (n & (n - 1)) !== 0) throw new ArgumentError(`fourier: ${n} numbers; a power of 2 is needed`)
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1
    for (; j & bit; bit >>= 1) j ^= bit
    j ^= bit
    if (i >= j) continue
    const r = re[i] as number
    const m = im[i] as number
    re[i] = re[j] as number
    im[i] = im[j] as number
    re[j] = r
    im[j] = m
  }
  for (let size = 2; size <= n; size *= 2)
    for (let k = 0; k < size / 2; k++) {
      const cos = Math.cos((-2 * Math.PI * k) / size)
      const sin = Math.sin((-2 * Math.PI * k) / size)
      for (let at = k; at < n; at += size) {
        const other = at + size / 2
        const r = re[other] as number
        const i = im[other] as number
        const x = r * cos - i * sin
        const y = r * sin + i * cos
        re[other] = (re[at] as number) - x
        im[other] = (im[at] as number) - y
        re[at] = (re[at] as number) + x
        im[at] = (im[at] as number) + y
      }
    }
}

/**
 * Mean power by frequency, rings one cycle a picture wide: a square [n, n] of 2ᵏ → n/2 numbers, from 1 cycle on. The picture fades to its mean
 * at the border (Hann's window), so that the step from one side to the other has no power.
 */
export function powerSpectrum(x: NdArray<'f32'>): Float64Array {
  const [H, W] = x.shape as [number, number]
  if (H !== W) throw new ShapeError(`powerSpectrum: expected a square, got ${W} × ${H}`)
  const mean = x.mean().item()
  const fade = Float64Array.from({ length: W }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / W))
  const [re, im] = [new Float64Array(W * W), new Float64Array(W * W)]
  for (let i = 0; i < W * W; i++)
    re[i] = ((x.data[i] as number) - mean) * (fade[i % W] as number) * (fade[Math.floor(i / W)] as number)
  for (let y = 0; y < W; y++) fourier(re.subarray(y * W, (y + 1) * W), im.subarray(y * W, (y + 1) * W))
  const [r, m] = [new Float64Array(W), new Float64Array(W)]
  const [sums, counts] = [new Float64Array(W / 2), new Float64Array(W / 2)]
  for (let u = 0; u < W; u++) {
    for (let v = 0; v < W; v++) {
      r[v] = re[v * W + u] as number
      m[v] = im[v * W + u] as number
    }
    fourier(r, m)
    for (let v = 0; v < W; v++) {
      const ring = Math.round(Math.hypot(Math.min(u, W - u), Math.min(v, W - v))) - 1
      if (ring < 0 || ring >= W / 2) continue
      sums[ring] = (sums[ring] as number) + (r[v] as number) ** 2 + (m[v] as number) ** 2
      counts[ring] = (counts[ring] as number) + 1
    }
  }
  return sums.map((sum, i) => sum / (counts[i] as number))
}

/** How far apart two mean spectra are: the root of the mean squared difference in decibels, every frequency alike. */
export function spectrumDistance(a: Float64Array, b: Float64Array): number {
  const squares = a.map((power, i) => (10 * Math.log10((power + 1e-3) / ((b[i] as number) + 1e-3))) ** 2)
  return Math.sqrt(squares.reduce((sum, one) => sum + one, 0) / squares.length)
}
