import { expect, test } from 'vitest'
import { fixture } from '../../tests/fixture.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { evaluate, NdArray } from '../runtime/index.ts'
import { muon, ruleOf } from './optimizer.ts'

test.each(['wide', 'tall', 'square'])("Muon moves a %s matrix as PyTorch's does", async (name) => {
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
  const far = (a: NdArray<'f32'>, b: NdArray<'f32'>) => Math.max(...a.data.map((x, i) => Math.abs(x - (b.data[i] as number))))
  expect(far(p, end)).toBeLessThan(2e-6)
  expect(far(start, end)).toBeGreaterThan(0.02)
})

test('Muon takes matrices; vectors, narrow matrices and embeddings are left to AdamW', () => {
  const optimizer = muon()
  const isWhole = (key: string, shape: number[]) => ruleOf(optimizer, key, shape) === optimizer.whole
  expect(isWhole('mid_block.resnets.0.conv1.weight', [32, 32, 3, 3])).toBe(true)
  expect(isWhole('attn1.to_q.weight', [64, 32])).toBe(true)
  expect(isWhole('conv_out.weight', [4, 32, 3, 3])).toBe(false)
  expect(isWhole('conv_in.weight', [32, 1, 3, 3])).toBe(false)
  expect(isWhole('norm1.weight', [32])).toBe(false)
  expect(isWhole('text_model.embeddings.token_embedding.weight', [1000, 64])).toBe(false)
})
