import { expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { input } from '../../core/tensor.ts'
import { FilmMemory, inFilmParts } from '../../nn/causal.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { compile } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { videoFactors, videoVae, videoVaeConfig } from './index.ts'

const config = videoVaeConfig({ block_out_channels: [4, 6, 8], latent_channels: 3 })
const film = new Generator(1).randn([1, 3, 9, 8, 12]).mul(0.5).cast('f32')

/** Moments and frames of a film, whole and in parts. */
async function coded(x: NdArray<'f32'>) {
  const p = new Params()
  const { encode, decode, parts } = videoVae(p, config)
  const given = input('x', x.shape)
  const moments = encode(given, new FilmMemory())
  const z = moments.slice(1, 0, 3)
  const T = z.shape[2] as number
  const outputs = {
    moments,
    inParts: inFilmParts(encode, given, parts.encode(x.shape[2] as number)),
    made: decode(z, new FilmMemory()),
    madeInParts: inFilmParts(decode, z, parts.decode(T)),
  }
  const program = await compile({ outputs, weights: p.initialise(new Generator(0)) }, { threads: 1 })
  const found = (await program.run({ x })) as Record<keyof typeof outputs, NdArray<'f32'>>
  await program.release()
  return found
}

test('parts give what the whole does, a picture is a film of one frame, and nothing is seen of later frames', async () => {
  const whole = await coded(film)
  expect(whole.moments.shape).toEqual([1, 6, 3, 2, 3])
  expect(whole.made.shape).toEqual([1, 3, 9, 8, 12])
  expect(maxDifference(whole.inParts, whole.moments)).toBeLessThan(1e-5)
  expect(maxDifference(whole.madeInParts, whole.made)).toBeLessThan(1e-5)
  const picture = await coded(film.slice(2, 0, 1))
  expect(maxDifference(picture.moments, whole.moments.slice(2, 0, 1))).toBeLessThan(1e-5)
  expect(maxDifference(picture.made, whole.made.slice(2, 0, 1))).toBeLessThan(1e-5)
  const shorter = await coded(film.slice(2, 0, 5))
  expect(maxDifference(shorter.moments, whole.moments.slice(2, 0, 2))).toBeLessThan(1e-5)
  expect(maxDifference(shorter.made, whole.made.slice(2, 0, 5))).toBeLessThan(1e-5)
  // And the later ones do matter to what is later.
  expect(maxDifference(whole.moments.slice(2, 2), whole.moments.slice(2, 1, 2))).toBeGreaterThan(1e-3)
})

test('factors follow from the levels, and what does not fit them is named', () => {
  expect(videoFactors(config)).toEqual({ space: 4, time: 4 })
  expect(() => videoVaeConfig({ temporal_downsample: [true] }, 'x')).toThrow('temporal_downsample: has 1 entries for 3 levels')
})
