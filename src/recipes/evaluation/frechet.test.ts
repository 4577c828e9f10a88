import { Matrix } from 'ml-matrix'
import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../../tests/fixture.ts'
import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { fitGaussian, frechetDistance } from './frechet.ts'

const diagonal = (mean: number[], variances: number[]) => ({ mean, covariance: Matrix.diag(variances) })

test('a fit is the mean and the covariance, of repeated rows too', () => {
  const { mean, covariance } = fitGaussian(
    NdArray.from([
      [1, 0],
      [3, 4],
      [5, 2],
    ]),
  )
  expect(mean).toEqual([3, 2])
  expect(covariance.to2DArray()).toEqual([
    [4, 2],
    [2, 4],
  ])
  const vectors = new Generator(0).randn([5, 3])
  const rows = [0, 4, 4, 2]
  const copied = fitGaussian(NdArray.stack(rows.map((row) => vectors.row(row))))
  expect(fitGaussian(vectors, rows)).toEqual(copied)
  expect(() => fitGaussian(vectors, [1])).toThrow(ArgumentError)
})

test('closed forms: shifts, variances, one dimension', () => {
  expect(frechetDistance(diagonal([0, 0], [1, 4]), diagonal([3, 4], [1, 4]))).toBeCloseTo(25, 10)
  expect(frechetDistance(diagonal([0, 0], [1, 9]), diagonal([0, 0], [4, 25]))).toBeCloseTo(1 + 4, 10)
  expect(frechetDistance(diagonal([1], [0]), diagonal([1], [4]))).toBeCloseTo(4, 10)
  expect(() => frechetDistance(diagonal([0], [1]), diagonal([0, 0], [1, 1]))).toThrow('of 1 and of 2')
})

test('it is symmetric, 0 to itself, and turns with both', () => {
  const generator = new Generator(3)
  const [a, b, mix] = [generator.randn([40, 6]), generator.randn([50, 6]).mul(1.5).add(0.3), generator.randn([6, 6])]
  const [p, q] = [fitGaussian(a.matmul(mix)), fitGaussian(b)]
  expect(frechetDistance(p, q)).toBeCloseTo(frechetDistance(q, p), 8)
  expect(frechetDistance(p, p)).toBeCloseTo(0, 8)
  // A rotation of the plane of the first two axes.
  const [c, s] = [Math.cos(1), Math.sin(1)]
  const turn = NdArray.from(
    Array.from({ length: 6 }, (_, i) =>
      Array.from({ length: 6 }, (_, j) => (i > 1 || j > 1 ? Number(i === j) : i === j ? c : i < j ? s : -s)),
    ),
  )
  const turned = frechetDistance(fitGaussian(a.matmul(mix).matmul(turn)), fitGaussian(b.matmul(turn)))
  expect(turned).toBeCloseTo(frechetDistance(p, q), 4)
})

test.each(['full', 'deficient'])('%s rank: what SciPy finds', (name) => {
  const scipy = fixture('frechet')
  const [a, b] = [tensorOf(scipy, `${name}.a`), tensorOf(scipy, `${name}.b`)]
  const expected = Number(scipy.metadata[name])
  expect(Math.abs(frechetDistance(fitGaussian(a), fitGaussian(b)) / expected - 1)).toBeLessThan(1e-6)
})
