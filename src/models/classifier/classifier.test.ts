import { expect, test } from 'vitest'
import { ShapeError } from '../../core/errors.ts'
import { grad } from '../../core/grad.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { evaluate } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { ModelConfigError } from '../config.ts'
import { classifier, classifierConfig } from './index.ts'

const fields = {
  sample_size: 8,
  block_out_channels: [4, 8],
  norm_num_groups: 2,
  heads: { shape: ['disc', 'ring', 'bar'], ground: ['red', 'blue'] },
}

test('features and logits have the sizes of the config, and every parameter a gradient', async () => {
  const p = new Params()
  const images = input('images', [3, 3, 8, 8])
  const { features, logits } = classifier(p, classifierConfig(fields))(images)
  expect([features.shape, logits.shape?.shape, logits.ground?.shape]).toEqual([
    [3, 8],
    [3, 3],
    [3, 2],
  ])
  const tensors = [...p.tensors]
  const gradients = grad(
    Object.values(logits)
      .map((one) => one.logSoftmax().slice(1, 0, 1).sum())
      .reduce((a, b) => a.add(b)),
    tensors.map(([, tensor]) => tensor),
  )
  const outputs = Object.fromEntries(tensors.map(([key], i) => [`grad ${key}`, gradients[i] as Tensor]))
  const generator = new Generator(0)
  const weights = p.initialise(generator)
  const found = await evaluate({ outputs, weights }, { images: generator.randn([3, 3, 8, 8]) })
  expect(tensors.map(([key]) => key).filter((key) => !((found[`grad ${key}`] as NdArray).abs().max().item() > 1e-6))).toEqual([])
})

test('features do not depend on the heads, and have mean 0 and variance 1 at first', async () => {
  const images = new Generator(1).randn([2, 3, 8, 8])
  const featuresOf = async (heads: Record<string, string[]>) => {
    const p = new Params()
    const { features } = classifier(p, classifierConfig({ ...fields, heads }))(input('images', [2, 3, 8, 8]))
    const weights = p.initialise(new Generator(0))
    return (await evaluate({ outputs: { features }, weights }, { images })).features as NdArray
  }
  const [a, b] = [await featuresOf(fields.heads), await featuresOf({ other: ['x', 'y'] })]
  expect([...a.data]).toEqual([...b.data])
  for (const row of [0, 1]) {
    expect(a.row(row).mean().item()).toBeCloseTo(0, 5)
    expect(a.row(row).std({ correction: 0 }).item()).toBeCloseTo(1, 2)
  }
})

test('a config is refused with every fault, and a picture of another size', () => {
  const faults = (more: object) => {
    try {
      return classifierConfig({ ...fields, ...more })
    } catch (error) {
      expect(error).toBeInstanceOf(ModelConfigError)
      return (error as ModelConfigError).faults.map(({ field }) => field)
    }
  }
  expect(faults({ norm_num_groups: 3, sample_size: 7 })).toEqual(['norm_num_groups', 'sample_size'])
  expect(faults({ heads: { shape: ['disc'] }, width: 3 })).toEqual(['width', 'heads.shape'])
  expect(faults({ heads: {} })).toEqual(['heads'])
  expect(faults({ model_type: 'vit' })).toEqual(['model_type'])
  const network = classifier(new Params(), classifierConfig(fields))
  expect(() => network(input('images', [1, 3, 16, 16]))).toThrow(ShapeError)
})
