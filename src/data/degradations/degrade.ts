import { ArgumentError } from '../../core/errors.ts'
import { jpegLevels } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { Draw } from '../stickers/draw.ts'
import { type BlurKernel, type BlurOptions, drawBlur, drawFinalSinc } from './kernels.ts'
import { gaussianNoise, poissonNoise } from './noise.ts'
import { filter, interpolate, resizeModes, sizesOf, type UnitImage } from './planes.ts'

/** One round: blur, resize, noise, JPEG. */
export interface Round {
  readonly blur: BlurOptions
  /** How often it blurs at all. */
  readonly blurs: number
  /** How often a picture becomes larger, smaller, or keeps its size, as weights; and the factors. */
  readonly resize: Readonly<Record<'up' | 'down' | 'keep', number>>
  readonly factors: readonly [number, number]
  /** How often noise is normal rather than that of photons; standard deviations in levels of 255; scales of the photons' noise. */
  readonly gaussian: number
  readonly sigma: readonly [number, number]
  readonly poisson: readonly [number, number]
  /** How often noise is grey. */
  readonly grey: number
  /** Qualities of JPEG. */
  readonly jpeg: readonly [number, number]
}

export interface DegradationOptions {
  readonly first: Round
  readonly second: Round
  /** How often a ringing filter comes at the end. */
  readonly finalSinc: number
}

const blur: BlurOptions = {
  sigma: [0.2, 3],
  betaBell: [0.5, 4],
  betaPlateau: [1, 2],
  shapes: { iso: 0.45, aniso: 0.25, generalized_iso: 0.12, generalized_aniso: 0.03, plateau_iso: 0.12, plateau_aniso: 0.03 },
  sinc: 0.1,
}

/** The degradations that RealESRGAN_x4plus was trained on (options/train_realesrgan_x4plus.yml). */
export const realEsrganDegradations: DegradationOptions = {
  first: {
    blur,
    blurs: 1,
    resize: { up: 0.2, down: 0.7, keep: 0.1 },
    factors: [0.15, 1.5],
    gaussian: 0.5,
    sigma: [1, 30],
    poisson: [0.05, 3],
    grey: 0.4,
    jpeg: [30, 95],
  },
  second: {
    blur: { ...blur, sigma: [0.2, 1.5] },
    blurs: 0.8,
    resize: { up: 0.3, down: 0.4, keep: 0.3 },
    factors: [0.3, 1.2],
    gaussian: 0.5,
    sigma: [1, 25],
    poisson: [0.05, 2.5],
    grey: 0.4,
    jpeg: [30, 95],
  },
  finalSinc: 0.8,
}

/**
 * A picture [3, H, W] in [0, 1] as a bad camera and two rounds of the web would leave it, `scale` times smaller (Wang et al. 2021, fig. 2). The same
 * generator degrades it the same way. Every picture draws its own degradation: Real-ESRGAN's, drawn for a batch, need a pool of earlier
 * pairs to mix them, and these need none.
 *
 * @throws ArgumentError for sides that are no multiples of the scale
 */
export async function degrade(
  image: UnitImage,
  generator: Generator,
  scale: number,
  { first, second, finalSinc }: DegradationOptions = realEsrganDegradations,
): Promise<UnitImage> {
  const { H, W } = sizesOf(image)
  const size = { height: H / scale, width: W / scale }
  if (!Number.isInteger(size.height) || !Number.isInteger(size.width))
    throw new ArgumentError(`degrade: ${W} × ${H} pixels are no multiples of the scale ${scale}; crop the picture`)
  const draw = new Draw(generator)
  const jpeg = (x: UnitImage, [least, most]: readonly [number, number]) => compressed(x, draw.between(least, most))

  let x = blurred(image, draw, first)
  const factor = drawFactor(draw, first)
  const [height, width] = [H, W].map((n) => Math.max(1, Math.floor(n * factor))) as [number, number]
  x = interpolate(x, { height, width, factor }, draw.of(resizeModes))
  x = await jpeg(noisy(x, generator, draw, first), first.jpeg)

  x = blurred(x, draw, second)
  const again = drawFactor(draw, second)
  const part = (n: number) => Math.max(1, Math.floor(n * again))
  x = interpolate(x, { height: part(size.height), width: part(size.width) }, draw.of(resizeModes))
  x = noisy(x, generator, draw, second)

  const ring = drawFinalSinc(draw, finalSinc)
  const mode = draw.of(resizeModes)
  const back = (y: UnitImage) => filtered(interpolate(y, size, mode), ring)
  x = draw.chance(0.5) ? await jpeg(back(x), second.jpeg) : back(await jpeg(x, second.jpeg))
  return x.map((value) => Math.round(Math.min(1, Math.max(0, value)) * 255) / 255)
}

const filtered = (image: UnitImage, kernel: BlurKernel | undefined) => (kernel ? filter(image, kernel) : image)

const blurred = (image: UnitImage, draw: Draw, { blur: options, blurs }: Round) =>
  draw.chance(blurs) ? filter(image, drawBlur(draw, options)) : image

function drawFactor(draw: Draw, { resize, factors: [least, most] }: Round): number {
  const way = draw.weighted(resize)
  return way === 'keep' ? 1 : way === 'up' ? draw.between(1, most) : draw.between(least, 1)
}

function noisy(image: UnitImage, generator: Generator, draw: Draw, { gaussian, sigma, poisson, grey }: Round): UnitImage {
  const normal = draw.chance(gaussian)
  const strength = draw.between(...(normal ? sigma : poisson))
  const alike = draw.chance(grey)
  return normal ? gaussianNoise(image, generator, strength, alike) : poissonNoise(image, draw, strength, alike)
}

/** What JPEG leaves of a picture, its colours at half the resolution as cameras keep them. */
async function compressed(image: UnitImage, quality: number): Promise<UnitImage> {
  const { C, H, W } = sizesOf(image)
  const plane = H * W
  const levels = new Uint8Array(C * plane)
  for (let i = 0; i < levels.length; i++)
    levels[i] = Math.round(Math.min(1, Math.max(0, image.data[(i % C) * plane + Math.floor(i / C)] as number)) * 255)
  const left = await jpegLevels(new NdArray(levels, [H, W, C], 'u8'), Math.round(quality))
  const out = new Float32Array(C * plane)
  for (let i = 0; i < out.length; i++) out[(i % C) * plane + Math.floor(i / C)] = (left.data[i] as number) / 255
  return new NdArray(out, image.shape, 'f32')
}
