import { expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { input } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { compile } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { jointBlock, mmditConfig, mmditTransformer } from './index.ts'

const generator = new Generator(0)
const [x, context, condition] = [
  [2, 9, 32],
  [2, 5, 32],
  [2, 32],
].map((shape) => generator.randn(shape)) as [NdArray, NdArray, NdArray]

test.each([{}, { dual: true, qkNorm: 'rms_norm' }, { contextEnds: true }] as const)(
  'a block starts as the identity on both streams (%o)',
  async (options) => {
    const p = new Params()
    const block = jointBlock(p, { width: 32, heads: 2, ...options })
    const inputs = { x: input('x', [2, 9, 32]), context: input('context', [2, 5, 32]) }
    const after = block(inputs, input('condition', [2, 32]))
    // A stream that ends goes on as it came: an input, which is no output of a program.
    const outputs = { y: after.x, ...(after.context === inputs.context ? {} : { z: after.context }) }
    expect('z' in outputs).toBe(!('contextEnds' in options))
    const weights = p.initialise(new Generator(1))
    const program = await compile({ outputs, weights })
    const found = await program.run({ x, context, condition })
    expect(maxDifference(found.y as NdArray, x)).toBe(0)
    if (found.z) expect(maxDifference(found.z, context)).toBe(0)
    // A gate that opens makes it another: what is tested is the start.
    const key = 'norm1.linear.bias'
    const opened = new Map([...weights, [key, (weights.get(key) as NdArray).add(0.5)]])
    const other = await compile({ outputs: { y: after.x }, weights: opened })
    expect(maxDifference((await other.run({ x, context, condition })).y as NdArray, x)).toBeGreaterThan(0.01)
    await program.release()
    await other.release()
  },
)

test('the whole network starts at a velocity of zero, and tells of the tokens behind each block', async () => {
  const config = mmditConfig({
    ...{ sample_size: 8, in_channels: 4, out_channels: 4, num_layers: 2, attention_head_dim: 16, num_attention_heads: 2 },
    ...{ caption_projection_dim: 32, joint_attention_dim: 32, pooled_projection_dim: 32, pos_embed_max_size: 4 },
  })
  const p = new Params()
  const seen: (readonly number[])[] = []
  const out = mmditTransformer(p, config)(input('sample', [2, 4, 8, 8]), input('t', [2]), {
    context: input('context', [2, 5, 32]),
    pooled: input('condition', [2, 32]),
    onBlock: (block, tokens) => seen.push([block, ...tokens.shape]),
  })
  expect(seen).toEqual([
    [0, 2, 16, 32],
    [1, 2, 16, 32],
  ])
  const program = await compile({ outputs: { out }, weights: p.initialise(new Generator(1)) })
  const sample = generator.randn([2, 4, 8, 8])
  const found = await program.run({ sample, t: generator.rand([2]), context, condition })
  expect((found.out as NdArray).abs().max().item()).toBe(0)
  await program.release()
})
