import { expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { grad, vjp } from '../../../core/grad.ts'
import { input, type Tensor } from '../../../core/tensor.ts'
import { hingeLoss, patchDiscriminator } from '../../../models/patch-discriminator/index.ts'
import { conv } from '../../../nn/layers.ts'
import { Params } from '../../../nn/params.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { evaluate } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import { adversarialStage } from './adversarial.ts'

test('one loss moves the autoencoder by the error and the scaled discriminator, and the discriminator by its own loss', async () => {
  const params = new Params()
  const [first, last] = [conv(params.at('first'), 3, 4, 3, { padding: 1 }), conv(params.at('last'), 4, 3, 3, { padding: 1 })]
  const images = input('images', [2, 3, 16, 16])
  const made = last(first(images).silu())
  const error = made.sub(images).abs().mean()
  const narrow = made.square().mean().mul(0.1)
  const config = { in_channels: 3, channels: 4, num_layers: 2, start: 5, weight: 0.5 }
  const weight = params.tensors.get('last.weight') as Tensor
  const stage = adversarialStage({ params, config, made, images, error, narrow, metrics: {}, last: weight })
  const { start: _, weight: strength, ...network } = config
  const judge = patchDiscriminator(params.at('discriminator'), network)

  // The same by hand, with the two losses apart (Esser et al. 2021, eq. 7).
  const fooled = judge(made).mean().neg()
  const length = (x: Tensor) => x.square().sum().sqrt()
  const [ofError, ofFooled] = [error, fooled].map((loss) => grad(loss, [weight])[0] as Tensor) as [Tensor, Tensor]
  const scale = length(ofError).div(length(ofFooled).add(1e-8)).mul(strength)
  const tensors = [...params.tensors]
  const all = tensors.map(([, tensor]) => tensor)
  const ofOwn = vjp([error.add(narrow), fooled], all, [narrow.mul(0).add(1), scale])
  const ofJudge = grad(hingeLoss(judge(images), judge(made.stopGradient())), all)
  const found = grad(stage.loss, all)

  const outputs: Record<string, Tensor> = { loss: stage.loss, error, narrow, judged: stage.metrics?.discriminator as Tensor }
  for (const [i, [key]] of tensors.entries()) {
    outputs[`found ${key}`] = found[i] as Tensor
    outputs[`wanted ${key}`] = (key.startsWith('discriminator.') ? ofJudge[i] : ofOwn[i]) as Tensor
  }
  const generator = new Generator(0)
  const weights = params.initialise(generator)
  const values = await evaluate({ outputs, weights }, { images: generator.randn([2, 3, 16, 16]).clamp(-1, 1) })
  for (const [key] of tensors) {
    const [a, b] = [values[`found ${key}`], values[`wanted ${key}`]] as [NdArray<'f32'>, NdArray<'f32'>]
    expect(maxDifference(a, b), key).toBeLessThan(1e-5)
    // A bias of the last layer moves real and made alike, and the hinge's slopes cancel.
    if (key.endsWith('.weight')) expect(b.abs().max().item(), key).toBeGreaterThan(1e-5)
  }
  const number = (name: string) => (values[name] as NdArray<'f32'>).item()
  expect(number('loss')).toBeCloseTo(number('error') + number('narrow') + number('judged'), 5)
  expect(stage.from).toBe(5)
})
