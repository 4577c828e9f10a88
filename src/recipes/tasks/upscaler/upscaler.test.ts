import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig, openWeights } from '../../../checkpoints/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { runTraining } from '../../../training/run.ts'
import { parseRecipe, prepare } from '../../index.ts'
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
  expect(names).toBe('step,psnr_bicubic,psnr_drawn,psnr_autoencoder')
  // The picture repeated has some 17 dB here; fresh weights have less.
  expect(
    values
      ?.split(',')
      .slice(1)
      .map(Number)
      .every((psnr) => psnr > 12),
  ).toBe(true)
  expect(loadConfig(join(dir, 'model'))).toMatchObject({ _class_name: 'SRVGGNetCompact', num_conv: 2, upscale: 2 })
  expect(openWeights(join(dir, 'model')).get('body.0.weight')?.shape).toEqual([16, 3, 3, 3])
})
