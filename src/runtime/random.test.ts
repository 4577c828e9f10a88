import { expect, test } from 'vitest'
import { fixture } from '../../tests/fixture.ts'
import { ArgumentError } from '../core/errors.ts'
import { Generator } from './random.ts'

const torch = fixture('random')
const seeds: number[] = JSON.parse(torch.metadata.seeds as string)
const expected = (name: string) => torch.tensors.get(name)?.data

test.each(seeds)('seed %d: PyTorch’s normals of every size, bit for bit', (seed) => {
  for (const size of [1, 2, 5, 15, 16, 17, 31, 32, 33, 100, 1000])
    expect(new Generator(seed).randn([size]).data, `size ${size}`).toEqual(expected(`randn.${seed}.${size}`))
})

test.each(seeds)('seed %d: one stream through every kind of draw', (seed) => {
  const g = new Generator(seed)
  const drawn = {
    a: g.randn([3]),
    b: g.randn([2, 20]),
    c: g.randn([2]),
    d: g.rand([700]),
    e: g.randint(-3, 1000, [50]),
    f: g.randint(0, 2 ** 40, [50]),
  }
  for (const [name, array] of Object.entries(drawn)) expect(array.data, name).toEqual(expected(`stream.${seed}.${name}`))
  expect(Array.from(g.randperm(100), BigInt)).toEqual(Array.from(expected(`stream.${seed}.g`) as BigInt64Array))
  expect(g.randn([4]).data).toEqual(expected(`stream.${seed}.h`))
})

test('a saved state goes on where the generator stood, through JSON', () => {
  const g = new Generator(3)
  g.randn([5])
  g.rand([700])
  const copy = Generator.restore(JSON.parse(JSON.stringify(g.save())))
  expect(copy.randn([7]).data).toEqual(g.randn([7]).data)
  expect(copy.randn([100]).data).toEqual(g.randn([100]).data)
  expect(() => Generator.restore({ ...g.save(), words: [1] })).toThrow(ArgumentError)
})

test('forks differ by key, repeat by key, and draw nothing from their parent', () => {
  const g = new Generator(0)
  const children = [0, 1, '0', 'noise'].map((key) => g.fork(key).randn([64]))
  expect(new Set(children.map((c) => c.data.join())).size).toBe(4)
  expect(g.fork('noise').randn([64]).data).toEqual(children[3]?.data)
  expect(g.randn([100]).data).toEqual(new Generator(0).randn([100]).data)
})

test('seeds are whole numbers of 64 bits; PyTorch uses the low 32', () => {
  expect(new Generator(2n ** 40n + 12345n).randn([16]).data).toEqual(new Generator(12345).randn([16]).data)
  for (const bad of [1.5, NaN, 2 ** 60, 2n ** 64n, -(2n ** 63n) - 1n]) expect(() => new Generator(bad)).toThrow(ArgumentError)
  expect(() => new Generator(0).randint(5, 5, [1])).toThrow(ArgumentError)
})
