import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../../tests/fixture.ts'
import { type Described, disagreements, keysOf } from '../../../tests/networks.ts'
import { constant, input } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { evaluate } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { unetDiscriminator, unetDiscriminatorConfig } from './index.ts'

const reference = fixture('upscaler-training')
const cases: Record<string, Described & { training: boolean }> = JSON.parse(reference.metadata.cases as string).discriminators
const published: Record<string, Described> = JSON.parse(reference.metadata.published as string)

test.each(Object.entries({ ...cases, ...published }))('%s has the keys, shapes and parameters of the reference', (_, one) => {
  const { config, keys, parameters, sha256 } = one
  const p = new Params()
  unetDiscriminator(p, unetDiscriminatorConfig(config))
  expect(keysOf(p)).toEqual({ keys, parameters, sha256 })
})

test.each(Object.entries(cases))('%s: logits and gradients agree with the reference', async (name, { config, training }) => {
  const p = new Params()
  const images = input('images', tensorOf(reference, `${name}.images`).shape)
  const made = unetDiscriminator(p, unetDiscriminatorConfig(config), { powerSteps: training ? 1 : 0 })(images)
  const symbols = new Map([['images', images]])
  expect(await disagreements(reference, name, { p, symbols, outputs: { made } })).toEqual([])
})

test('power steps bring the largest singular value of every normed weight to 1', async () => {
  const p = new Params()
  const images = constant(new Generator(1).rand([1, 3, 8, 8]).data, [1, 3, 8, 8])
  const made = unetDiscriminator(p, unetDiscriminatorConfig({ num_feat: 2 }), { powerSteps: 40 })(images)
  const weights = p.initialise(new Generator(0))
  // Twice the weight, half as much of it left by the norm: the logits do not change.
  const doubled = new Map([...weights].map(([key, value]) => [key, key.endsWith('weight_orig') ? value.mul(2) : value]))
  const run = async (values: typeof weights) =>
    (await evaluate({ outputs: { made }, weights: values })).made?.data as Float32Array
  const [once, twice] = [await run(weights), await run(doubled)]
  for (const [i, value] of once.entries()) expect(twice[i]).toBeCloseTo(value, 5)
})
