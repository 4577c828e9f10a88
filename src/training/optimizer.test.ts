import { expect, test } from 'vitest'
import { fixture, maxDifference } from '../../tests/fixture.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { evaluate, NdArray } from '../runtime/index.ts'
import { muon, ruleOf } from './optimizer.ts'

test.each(['wide', 'tall', 'square'])("Muon updates a %s matrix as PyTorch's does", async (name) => {
  const { tensors } = fixture('optimizers')
  const [start, gradients, end] = ['start', 'gradients', 'end'].map((part) => tensors.get(`${name}.${part}`)) as [
    NdArray<'f32'>,
    NdArray<'f32'>,
    NdArray<'f32'>,
  ]
  const optimizer = muon({ weightDecay: 0.1 })
  const rule = ruleOf(optimizer, 'weight', start.shape)
  const array = (name: string) => input(name, start.shape)
  const scalars = Object.fromEntries(optimizer.scalarNames.map((name) => [name, input(name, [])]))
  const next = rule.update(array('p'), array('g'), { m: array('m') }, scalars)
  let [p, m] = [start, NdArray.zeros(start.shape, 'f32')]
  for (let step = 1; step <= 3; step++) {
    const { keep, rate } = optimizer.scalars(step, 0.02)
    const g = gradients.slice(0, step - 1, step).reshape(start.shape)
    const feeds = { p, m, g, keep: NdArray.from([keep as number]).reshape([]), rate: NdArray.from([rate as number]).reshape([]) }
    const found = await evaluate({ outputs: { nextP: next.p, nextM: next.m as Tensor } }, feeds)
    ;[p, m] = [found.nextP, found.nextM] as [NdArray<'f32'>, NdArray<'f32'>]
  }
  expect(maxDifference(p, end)).toBeLessThan(2e-6)
  expect(maxDifference(start, end)).toBeGreaterThan(0.02)
})

test('Muon updates matrices of hidden layers; vectors, narrow matrices, embeddings and heads are left to AdamW', () => {
  const optimizer = muon()
  const byMatrix = (key: string, shape: number[]) => ruleOf(optimizer, key, shape) === optimizer.matrixRule
  expect(byMatrix('mid_block.resnets.0.conv1.weight', [32, 32, 3, 3])).toBe(true)
  expect(byMatrix('attn1.to_q.weight', [64, 32])).toBe(true)
  expect(byMatrix('conv_out.weight', [4, 32, 3, 3])).toBe(false)
  expect(byMatrix('conv_in.weight', [32, 1, 3, 3])).toBe(false)
  expect(byMatrix('norm1.weight', [32])).toBe(false)
  expect(byMatrix('text_model.embeddings.token_embedding.weight', [1000, 64])).toBe(false)
  // Keys of DiTTransformer2DModel, SD3Transformer2DModel and T5EncoderModel.
  expect(byMatrix('transformer_blocks.0.attn1.to_q.weight', [64, 64])).toBe(true)
  expect(byMatrix('transformer_blocks.0.norm1.linear.weight', [384, 64])).toBe(true)
  expect(byMatrix('down_blocks.0.attentions.0.proj_out.weight', [64, 64])).toBe(true)
  expect(byMatrix('encoder.block.0.layer.1.DenseReluDense.wi_0.weight', [128, 64])).toBe(true)
  expect(byMatrix('pos_embed.proj.weight', [64, 4, 2, 2])).toBe(false)
  expect(byMatrix('proj_out_2.weight', [32, 64])).toBe(false)
  expect(byMatrix('proj_out.weight', [64, 64])).toBe(false)
  expect(byMatrix('shared.weight', [1000, 64])).toBe(false)
  expect(byMatrix('encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight', [32, 64])).toBe(false)
})

test('which parameters are matrices can be told', () => {
  const optimizer = muon({ matrices: (key) => key === 'a' })
  expect(['a', 'b'].map((key) => ruleOf(optimizer, key, [4, 4]) === optimizer.matrixRule)).toEqual([true, false])
})
