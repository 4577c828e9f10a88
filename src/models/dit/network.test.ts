import { expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { grad } from '../../core/grad.ts'
import { input } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { compile } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { ditConfig } from './config.ts'
import { ditBlock, ditTransformer } from './network.ts'

const config = ditConfig({ num_attention_heads: 2, attention_head_dim: 8, num_layers: 3, sample_size: 4, num_embeds_ada_norm: 5 })
const labels = new NdArray(BigInt64Array.from([1n, 5n]), [2], 'i64')
const t = NdArray.from([10, 900])

test('a fresh block is the identity, whatever its condition, and not once its gates open', async () => {
  const params = new Params()
  const block = ditBlock(params, config, 16)
  const x = input('x', [2, 4, 16])
  const y = block.run(x, block.condition(input('t', [2]), input('labels', [2], 'i64')))
  const values = new Generator(1).randn([2, 4, 16])
  const fresh = params.initialise(new Generator(0))
  for (const [weights, least, most] of [
    [fresh, 0, 0],
    [new Map(fresh).set('norm1.linear.bias', NdArray.full([96], 0.5)), 0.1, Number.POSITIVE_INFINITY],
  ] as const) {
    const program = await compile({ outputs: { y }, weights }, { threads: 1 })
    const found = maxDifference((await program.run({ x: values, t, labels })).y as NdArray, values)
    await program.release()
    expect(found).toBeGreaterThanOrEqual(least)
    expect(found).toBeLessThanOrEqual(most)
  }
})

test('a fresh network answers nothing, and learns from its last layer on', async () => {
  const params = new Params()
  const out = ditTransformer(params, config)(input('x', [2, 4, 4, 4]), input('t', [2]), input('labels', [2], 'i64'))
  const last = params.tensors.get('proj_out_2.weight')
  const first = params.tensors.get('transformer_blocks.0.attn1.to_q.weight')
  if (!last || !first) throw new Error('no such parameters')
  const [ofLast, ofFirst] = grad(out.sub(1).square().mean(), [last, first])
  const program = await compile(
    {
      outputs: { out, ofLast: ofLast as typeof out, ofFirst: ofFirst as typeof out },
      weights: params.initialise(new Generator(0)),
    },
    { threads: 1 },
  )
  const found = await program.run({ x: new Generator(2).randn([2, 4, 4, 4]), t, labels })
  await program.release()
  const size = (name: string) => (found[name] as NdArray).abs().max().item()
  expect([size('out'), size('ofFirst')]).toEqual([0, 0])
  expect(size('ofLast')).toBeGreaterThan(1e-3)
})
