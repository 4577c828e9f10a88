import { expect, test } from 'vitest'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { fourier, inner, lumaOf, powerSpectrum, psnrOfLevels, spectrumDistance, ssimOfLevels } from './picture-metrics.ts'

const noise = (side: number, seed: number) => new Generator(seed).rand([side, side]).mul(255)

test('a Fourier transform is its definition', () => {
  const [re, im] = [Float64Array.from(new Generator(1).randn([16]).data), Float64Array.from(new Generator(2).randn([16]).data)]
  const wanted = Array.from({ length: 16 }, (_, k) => {
    let [r, i] = [0, 0]
    for (let n = 0; n < 16; n++) {
      const [cos, sin] = [Math.cos((-2 * Math.PI * k * n) / 16), Math.sin((-2 * Math.PI * k * n) / 16)]
      r += (re[n] as number) * cos - (im[n] as number) * sin
      i += (re[n] as number) * sin + (im[n] as number) * cos
    }
    return [r, i] as const
  })
  fourier(re, im)
  for (const [k, [r, i]] of wanted.entries()) {
    expect(re[k]).toBeCloseTo(r, 10)
    expect(im[k]).toBeCloseTo(i, 10)
  }
  expect(() => fourier(new Float64Array(12), new Float64Array(12))).toThrow('a power of 2')
})

test('a wave has its power at its frequency, and a blur takes power from high ones', () => {
  const wave = new NdArray(
    Float32Array.from({ length: 64 * 64 }, (_, i) => 128 + 50 * Math.sin((2 * Math.PI * 9 * (i % 64)) / 64)),
    [64, 64],
    'f32',
  )
  const spectrum = powerSpectrum(wave)
  expect(spectrum.indexOf(Math.max(...spectrum))).toBe(8)
  const sharp = noise(64, 3)
  const blurred = sharp.map((value, i) => (value + (sharp.data[(i + 1) % sharp.size] as number)) / 2)
  expect(spectrumDistance(powerSpectrum(sharp), powerSpectrum(sharp))).toBe(0)
  expect(spectrumDistance(powerSpectrum(blurred), powerSpectrum(sharp))).toBeGreaterThan(1)
})

test('similarity is 1 of a picture to itself, less of noise added, and known for flat pictures', () => {
  const picture = noise(24, 4)
  const other = picture.add(noise(24, 5).sub(127).mul(0.3))
  expect(ssimOfLevels(picture, picture)).toBeCloseTo(1, 12)
  expect(ssimOfLevels(picture, other)).toBeLessThan(0.98)
  expect(ssimOfLevels(picture, other)).toBeCloseTo(ssimOfLevels(other, picture), 12)
  const c1 = (0.01 * 255) ** 2
  const [a, b] = [100, 130]
  const flat = (level: number) => NdArray.full([12, 12], level)
  expect(ssimOfLevels(flat(a), flat(b))).toBeCloseTo((2 * a * b + c1) / (a * a + b * b + c1), 6)
})

test('white is brightness 235 and black 16; a level everywhere is 48 dB', () => {
  const luma = lumaOf(NdArray.concat([NdArray.full([3, 2, 2], 1), NdArray.full([3, 2, 2], 0)], 2))
  expect([...luma.data].map(Math.round)).toEqual([235, 235, 16, 16, 235, 235, 16, 16])
  expect(psnrOfLevels(luma, luma.add(1))).toBeCloseTo(48.13, 2)
  expect(inner(noise(8, 1), 2).shape).toEqual([4, 4])
})
