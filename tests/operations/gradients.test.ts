import { describe, expect, test } from 'vitest'
import { ArgumentError, constant, grad, input, jvp, operations, ShapeError, type Tensor, vjp } from '../../src/core/index.ts'
import { op } from '../../src/core/ops/op.ts'
import { build } from '../../src/core/tensor.ts'
import { evaluate, NdArray } from '../../src/runtime/index.ts'
import { rough } from './cases.ts'
import { derivativeErrors } from './differences.ts'
import { allCases } from './suite.ts'

const smooth = allCases.filter(
  ({ name, inputs, result }) => !rough.has(name) && result.dtype === 'f32' && inputs.some(({ dtype }) => dtype === 'f32'),
)

describe('first and second derivatives against finite differences', () => {
  test('every differentiable operation is among them', () => {
    const lacking = Object.values(operations).filter(
      ({ vjp, name }) => vjp !== 'not differentiable' && !smooth.some((c) => c.group === name),
    )
    expect(lacking.map(({ name }) => name)).toEqual([])
  })

  // Right ones measure below 5·10⁻⁴, 2·10⁻⁶ and 2·10⁻³ (2 cores with AVX-512).
  test.each(smooth)('$name', async (c) => {
    const { forward, transposed, second } = await derivativeErrors(c.draw, c.inputs)
    expect(forward, 'Jacobian–vector product').toBeLessThan(5e-3)
    expect(transposed, 'vector–Jacobian product').toBeLessThan(1e-5)
    expect(second, 'second derivative').toBeLessThan(1e-2)
  })

  const x = NdArray.from([0.3, -1.2, 0.8, 2, -0.4])
  const tanhWith = (slope: (y: Tensor, x: Tensor) => Tensor) =>
    op('wrong', { shape: ([x]) => x!, lower: 'Tanh', vjp: (g, [x], y) => [g.mul(slope(y, x!))] })
  const right = (y: Tensor) => y.square().neg().add(1)

  test('a gradient that is 2 % too large fails', async () => {
    const errors = await derivativeErrors(
      (x) =>
        build(
          tanhWith((y) => right(y).mul(1.02)),
          [x],
        ),
      [x],
    )
    expect(errors.forward).toBeGreaterThan(5e-3)
  })

  test('a gradient that is wrong for one element in five fails', async () => {
    const one = constant([1, 1, 0.9, 1, 1])
    const errors = await derivativeErrors(
      (x) =>
        build(
          tanhWith((y) => right(y).mul(one)),
          [x],
        ),
      [x],
    )
    expect(errors.forward).toBeGreaterThan(5e-3)
  })

  test('a right gradient with a wrong second derivative fails', async () => {
    const errors = await derivativeErrors(
      (x) =>
        build(
          tanhWith((y) => right(y.stopGradient())),
          [x],
        ),
      [x],
    )
    expect(errors.forward).toBeLessThan(5e-3)
    expect(errors.second).toBeGreaterThan(1e-2)
  })
})

describe('grad, vjp and jvp', () => {
  const values = async (tensors: readonly Tensor[], feeds: Record<string, NdArray> = {}) => {
    const results = await evaluate(Object.fromEntries(tensors.map((x, i) => [`y${i}`, x])), feeds)
    return tensors.map((_, i) => Array.from(results[`y${i}`]!.data as Float32Array))
  }

  test('what the loss does not depend on, or only through a stop, has a gradient of zeros', async () => {
    const [x, y] = [input('x', [2]), input('y', [3])]
    const loss = x.square().sum().add(y.stopGradient().sum())
    const [gx, gy] = grad(loss, [x, y])
    expect(await values([gx!, gy!], { x: NdArray.from([3, -4]) })).toEqual([
      [6, -8],
      [0, 0, 0],
    ])
  })

  test('a tensor used often gathers all its parts, and one within the graph can be differentiated for', async () => {
    const x = input('x', [2])
    const square = x.mul(x)
    const loss = square.mul(x).add(square).sum()
    const [gx, gs] = grad(loss, [x, square])
    expect(await values([gx!, gs!], { x: NdArray.from([2, 3]) })).toEqual([
      [16, 33],
      [3, 4],
    ])
  })

  test('the third derivative of x⁴ is 24 x', async () => {
    const x = input('x', [3])
    let y = x.square().square()
    for (let i = 0; i < 3; i++) y = grad(y.sum(), [x])[0]!
    expect(await values([y], { x: NdArray.from([1, -2, 0.5]) })).toEqual([[24, -48, 12]])
  })

  test('jvp of several outputs along several inputs', async () => {
    const [x, y] = [input('x', [2]), input('y', [2])]
    const tangents = jvp([x.mul(y), x.sum()], [x, y], [constant([1, 0]), constant([0, 1])])
    const feeds = { x: NdArray.from([3, 5]), y: NdArray.from([7, 11]) }
    expect(await values([tangents[0]!], feeds)).toEqual([[7, 5]])
    expect(await values([tangents[1]!])).toEqual([[1]])
  })

  test('a deep graph needs no deep stack', () => {
    const x = input('x', [1])
    let y: Tensor = x
    for (let i = 0; i < 20_000; i++) y = y.mul(0.999)
    expect(grad(y.sum(), [x])[0]!.shape).toEqual([1])
  })

  test('a loss with several elements, and cotangents that do not fit, are told', () => {
    const x = input('x', [2])
    expect(() => grad(x, [x])).toThrow(ArgumentError)
    expect(() => grad(x, [x])).toThrow('the loss has shape [2]; reduce it to one element')
    expect(() => vjp([x], [x], [constant([1])])).toThrow(ShapeError)
    expect(() => vjp([x], [x], [constant([1])])).toThrow('output 0 is [2], its cotangent [1]')
    expect(() => vjp([x], [x], [])).toThrow('its cotangent is missing')
  })
})
