import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { loadConfig, openWeights } from '../../../checkpoints/index.ts'
import { grad } from '../../../core/grad.ts'
import { input, type Tensor } from '../../../core/tensor.ts'
import { unetDiscriminator } from '../../../models/unet-discriminator/index.ts'
import { normal, Params } from '../../../nn/params.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { evaluate } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import { runTraining } from '../../../training/run.ts'
import { parseRecipe, prepare } from '../../index.ts'
import { adversarialSchema, adversarialStage } from './adversarial.ts'
import { cropPair, turned } from './pairs.ts'

test('parts of a pair are the same place', () => {
  const small = new NdArray(
    Float32Array.from({ length: 36 }, (_, i) => i),
    [1, 1, 6, 6],
    'f32',
  )
  const large = new NdArray(
    Float32Array.from({ length: 144 }, (_, i) => Math.floor(i / 24) * 6 + Math.floor((i % 12) / 2)),
    [1, 1, 12, 12],
    'f32',
  )
  const generator = new Generator(0)
  const seen = new Set<number>()
  for (let i = 0; i < 80; i++) {
    const part = cropPair({ small, large }, 4, 2, generator)
    expect([part.small.shape, part.large.shape]).toEqual([
      [1, 1, 4, 4],
      [1, 1, 8, 8],
    ])
    const every = part.small.data.map((_, i) => part.large.data[Math.floor(i / 4) * 16 + (i % 4) * 2] as number)
    expect(every).toEqual(part.small.data)
    // Turned and mirrored, the least of a part is still its first.
    seen.add(Math.min(...part.small.data))
  }
  expect([...seen].sort((a, b) => a - b)).toEqual([0, 1, 2, 6, 7, 8, 12, 13, 14])
})

test('a square picture has eight ways to lie', () => {
  const square = new NdArray(Float32Array.of(1, 2, 3, 4), [1, 1, 2, 2], 'f32')
  const ways = Array.from({ length: 8 }, (_, way) => [...turned(square, way).data].join(' '))
  expect(ways[0]).toBe('1 2 3 4')
  expect(ways[5]).toBe('2 4 1 3')
  expect(new Set(ways).size).toBe(8)
})

test('an upscaler learns from pairs of every source, and its folder holds the network', async () => {
  const recipe = parseRecipe(
    {
      recipe: 'upscaler',
      data: { kind: 'scenes', nouns: ['fox', 'apple', 'star'], styles: ['flat'] },
      resolution: 16,
      scale: 2,
      patch: 8,
      network: { _class_name: 'SRVGGNetCompact', num_feat: 16, num_conv: 2, upscale: 2 },
      perceptual: { weight: 0.1 },
      training: {
        train_batch_size: 3,
        max_train_steps: 12,
        lr_warmup_steps: 1,
        learning_rate: 3e-3,
        validation_steps: 12,
        ema_decay: 0,
      },
    },
    'a test',
  )
  const dir = mkdtempSync(join(tmpdir(), 'langevin-upscaler-'))
  const { job, config } = await prepare(recipe)
  expect(await runTraining(job, config, { dir, warn: () => {} })).toBe(12)
  const [names, values] = readFileSync(join(dir, 'validation.csv'), 'utf8').trim().split('\n')
  expect(names).toBe('step,psnr_bicubic,psnr_degraded,psnr_drawn,psnr_autoencoder')
  // The picture repeated has some 17 dB here; fresh weights have less.
  expect(
    values
      ?.split(',')
      .slice(1)
      .map(Number)
      .every((psnr) => psnr > 11),
  ).toBe(true)
  expect(loadConfig(join(dir, 'model'))).toMatchObject({ _class_name: 'SRVGGNetCompact', num_conv: 2, upscale: 2 })
  expect(openWeights(join(dir, 'model')).get('body.0.weight')?.shape).toEqual([16, 3, 3, 3])
})

test('an upscaler goes on against a discriminator, from degraded pictures to sharpened ones; its folder holds it alone', async () => {
  const recipe = (fields: object) =>
    parseRecipe(
      {
        recipe: 'upscaler',
        data: { kind: 'scenes', nouns: ['fox', 'apple', 'star'], styles: ['flat'] },
        ...{ resolution: 8, scale: 4, patch: 8, pool: 2, sources: { degraded: 1 } },
        network: { _class_name: 'RRDBNet', num_in_ch: 3, num_out_ch: 3, num_feat: 8, num_block: 1, num_grow_ch: 4 },
        training: { train_batch_size: 2, max_train_steps: 4, lr_warmup_steps: 1, validation_steps: 100, ema_decay: 0 },
        ...fields,
      },
      'a test',
    )
  const [before, after] = ['first', 'second'].map((name) => join(mkdtempSync(join(tmpdir(), 'langevin-upscaler-')), name))
  const train = async (fields: object, dir: string) => {
    const { job, config } = await prepare(recipe(fields))
    await runTraining(job, config, { dir, warn: (message) => expect(message).toBe('') })
    return readFileSync(join(dir, 'log.csv'), 'utf8').trim().split('\n')
  }
  await train({ sharpen: true, adversarial: { start: 3, num_feat: 4 } }, before as string)
  const [names, ...rows] = await train(
    { pretrained: join(before as string, 'model'), adversarial: { num_feat: 4 } },
    after as string,
  )
  expect(names).toContain('psnr,l1,fooling,discriminator')
  // ln 2 each for the real and the made, before it has learnt.
  expect(Number(rows[0]?.split(',').at(-1))).toBeCloseTo(2 * Math.LN2, 1)
  expect([...openWeights(join(after as string, 'model')).keys()].filter((key) => !/^(conv_|body)/.test(key))).toEqual([])
})

test('each of upscaler and discriminator takes the gradient of its own loss alone', async () => {
  const [p, d] = [new Params(), new Params()]
  const [small, real] = [input('small', [1, 3, 8, 8]), input('real', [1, 3, 8, 8])]
  const made = small.mul(p.get('gain', [1, 3, 1, 1], normal(1)))
  const error = made.sub(real).abs().mean()
  const config = adversarialSchema.parse({ num_feat: 2, weight: 0.3, power_steps: 2 })
  const { loss } = adversarialStage({ params: d, config, made, real, error, metrics: {} })
  const judge = unetDiscriminator(d.at('discriminator'), { num_in_ch: 3, num_feat: 2, skip_connection: true }, { powerSteps: 2 })
  const fooling = judge(made).neg().softplus().mean()
  const telling = judge(real).neg().softplus().mean().add(judge(made).softplus().mean())
  const [gain, first] = [p.tensors.get('gain'), d.tensors.get('discriminator.conv0.weight')] as [Tensor, Tensor]
  const outputs = {
    ofGain: grad(loss, [gain])[0] as Tensor,
    wantedGain: grad(error.add(fooling.mul(0.3)), [gain])[0] as Tensor,
    ofFirst: grad(loss, [first])[0] as Tensor,
    wantedFirst: grad(telling, [first])[0] as Tensor,
  }
  const weights = new Map([...p.initialise(new Generator(0)), ...d.initialise(new Generator(1))])
  const feeds = { small: new Generator(2).rand([1, 3, 8, 8]), real: new Generator(3).rand([1, 3, 8, 8]) }
  const found = await evaluate({ outputs, weights }, feeds)
  expect(maxDifference(found.ofGain as NdArray, found.wantedGain as NdArray)).toBeLessThan(1e-6)
  expect(maxDifference(found.ofFirst as NdArray, found.wantedFirst as NdArray)).toBeLessThan(1e-6)
  expect(found.ofFirst?.abs().max().item()).toBeGreaterThan(1e-4)
})
