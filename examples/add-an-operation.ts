// An operation is one entry: its shape rule, its lowering to ONNX and its gradient, together. This one is softsign, x/(1 + |x|).
// In the package it stands in src/core/ops/elementwise.ts; `operations` and the tests of every operation find it there.
import { grad, input, type Tensor } from 'langevin/core'
import { evaluate, NdArray } from 'langevin/runtime'
import { op } from '../src/core/ops/op.ts'
import { build } from '../src/core/tensor.ts'

const softsignOp = op('softsign', {
  shape: ([x]) => x as Tensor,
  lower: 'Softsign',
  vjp: (g, [x]) => [g.div((x as Tensor).abs().add(1).square())],
})
const softsign = (x: Tensor) => build(softsignOp, [x], {})

const x = input('x', [4])
const y = softsign(x)
const [slope] = grad(y.sum(), [x])
const values = [-3, -0.5, 0.25, 2]
const found = await evaluate({ y, slope: slope as Tensor }, { x: NdArray.from(values, [4]) })
for (const [i, v] of values.entries()) {
  const [value, derivative] = [found.y, found.slope].map((array) => Number(array?.data[i]))
  const right = [v / (1 + Math.abs(v)), 1 / (1 + Math.abs(v)) ** 2]
  if (Math.abs((value as number) - (right[0] as number)) > 1e-6) throw new Error(`softsign(${v}) is ${value}`)
  if (Math.abs((derivative as number) - (right[1] as number)) > 1e-6) throw new Error(`its slope at ${v} is ${derivative}`)
}
