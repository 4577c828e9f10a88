import { expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../../tests/fixture.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { Draw } from '../stickers/draw.ts'
import {
  type BlurKernel,
  bell,
  degrade,
  drawBlur,
  filter,
  gaussianNoise,
  interpolate,
  padded,
  plateau,
  poissonNoise,
  type ResizeMode,
  realEsrganDegradations,
  sinc,
  unsharpMask,
} from './index.ts'
import { poisson } from './noise.ts'

const reference = fixture('upscaler-training')
const cases = JSON.parse(reference.metadata.cases as string) as {
  kernels: Record<string, number[]>
  sincs: [number, number][]
  resizes: { name: string; mode: ResizeMode; factor: number | null; size: [number, number] }[]
}
const asArray = ({ size, weights }: BlurKernel) => new NdArray(Float32Array.from(weights), [size, size], 'f32')
const picture = (name: string) => {
  const { data, shape } = tensorOf(reference, name)
  return new NdArray(data, shape.slice(1), 'f32')
}

test.each(Object.entries(cases.kernels))('the kernel %s agrees with the reference', (name, numbers) => {
  const [size, sigmaX, sigmaY, theta, beta] = numbers as [number, number, number, number, number | undefined]
  const spread = { sigmaX, sigmaY, theta }
  const made = name.startsWith('plateau') ? plateau(size, spread, beta as number) : bell(size, spread, beta)
  expect(maxDifference(asArray(made), tensorOf(reference, `kernel.${name}`))).toBeLessThan(1e-7)
})

test.each(cases.sincs)('a ringing filter of %i pixels agrees with the reference', (size, cutoff) => {
  const made = padded(sinc(size, cutoff), 21)
  expect(maxDifference(asArray(made), tensorOf(reference, `kernel.sinc ${size}`))).toBeLessThan(1e-7)
})

test.each(cases.resizes)('$name agrees with PyTorch', ({ name, mode, factor, size: [height, width] }) => {
  const to = { height, width, ...(factor !== null && { factor }) }
  expect(maxDifference(interpolate(picture('picture'), to, mode), picture(name))).toBeLessThan(1e-5)
})

test('filters and the unsharp mask agree with the reference', () => {
  const [size, sigmaX, sigmaY, theta] = cases.kernels.aniso as [number, number, number, number]
  const made = filter(picture('picture'), bell(size, { sigmaX, sigmaY, theta }))
  expect(maxDifference(made, picture('filtered'))).toBeLessThan(1e-6)
  expect(maxDifference(unsharpMask(picture('edges')), picture('sharpened'))).toBeLessThan(1e-5)
})

test('random blurs keep a flat picture as it is, and every shape comes', () => {
  const draw = new Draw(new Generator(3))
  const flat = NdArray.full([1, 12, 10], 0.25)
  for (let i = 0; i < 40; i++) {
    const { size, weights } = drawBlur(draw, realEsrganDegradations.first.blur)
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12)
    // A bell that is turned by half a circle is itself.
    for (const [k, weight] of weights.entries()) expect(weights[size * size - 1 - k]).toBeCloseTo(weight, 12)
    if (i < 3) expect(maxDifference(filter(flat, { size, weights }), flat)).toBeLessThan(1e-6)
  }
  expect(() => bell(8, { sigmaX: 1, sigmaY: 1, theta: 0 })).toThrow('expected an odd number')
})

test('counts have the mean and the variance of photons', () => {
  const draw = new Draw(new Generator(5))
  for (const mean of [0.4, 6, 190]) {
    const counts = Array.from({ length: 4000 }, () => poisson(draw, mean))
    const average = counts.reduce((sum, n) => sum + n, 0) / counts.length
    const variance = counts.reduce((sum, n) => sum + (n - average) ** 2, 0) / counts.length
    // Four standard errors.
    expect(Math.abs(average - mean)).toBeLessThan(4 * Math.sqrt(mean / 4000))
    expect(Math.abs(variance / mean - 1)).toBeLessThan(4 * Math.sqrt((2 + 1 / mean) / 4000))
  }
  expect(poisson(draw, 0)).toBe(0)
})

test('noise has its strength, is the same in all channels where it is grey, and grows with light where photons make it', () => {
  const flat = NdArray.full([3, 40, 50], 0.5)
  const spread = (x: NdArray<'f32'>) => x.std({ correction: 0 }).item() * 255
  const grey = gaussianNoise(flat, new Generator(1), 12, true)
  expect(spread(grey)).toBeGreaterThan(11)
  expect(spread(grey)).toBeLessThan(13)
  expect(maxDifference(grey.slice(0, 0, 1), grey.slice(0, 2, 3))).toBe(0)
  const coloured = gaussianNoise(flat, new Generator(1), 12, false)
  expect(maxDifference(coloured.slice(0, 0, 1), coloured.slice(0, 2, 3))).toBeGreaterThan(0.05)
  const steps = new NdArray(
    Float32Array.from({ length: 2000 }, (_, i) => (i < 1000 ? 0.1 : 0.6) + (i % 5) / 255),
    [1, 40, 50],
    'f32',
  )
  const noise = poissonNoise(steps, new Draw(new Generator(2)), 0.1, false).sub(steps)
  const [dark, light] = [noise.slice(1, 0, 20), noise.slice(1, 20)].map(spread) as [number, number]
  expect(light / dark).toBeGreaterThan(2)
  expect(light / dark).toBeLessThan(3)
})

test('a degradation is the same for the same seed, has whole levels, and is told where it cannot be', async () => {
  const image = new Generator(9).rand([3, 48, 64])
  const made = await degrade(image, new Generator(4), 4)
  expect(made.shape).toEqual([3, 12, 16])
  expect(maxDifference(made, await degrade(image, new Generator(4), 4))).toBe(0)
  expect(maxDifference(made, await degrade(image, new Generator(5), 4))).toBeGreaterThan(0.01)
  expect(made.data.every((value) => Math.abs(value * 255 - Math.round(value * 255)) < 1e-4)).toBe(true)
  await expect(degrade(image, new Generator(4), 5)).rejects.toThrow('are no multiples of the scale 5')
})
