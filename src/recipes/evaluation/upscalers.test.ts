import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { saveModel } from '../../checkpoints/index.ts'
import { savePng } from '../../images/index.ts'
import { srvggConfig, srvggNet } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { upscalerTables } from './upscaler-tables.ts'
import { evaluateUpscalers } from './upscalers.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-upscalers-'))
afterAll(() => rmSync(desk, { recursive: true }))

test('every way is measured on the same pictures; a network that adds nothing to the nearest pixel is as good as it', {
  timeout: 120_000,
}, async () => {
  const config = srvggConfig({ num_feat: 4, num_conv: 1, upscale: 4 })
  const params = new Params()
  srvggNet(params, config)
  // The class adds what its layers make to the picture repeated.
  const nothing = new Map([...params.tensors].map(([key, { shape }]) => [key, NdArray.zeros(shape, 'f32')]))
  const [network, photographs] = [join(desk, 'nothing', 'model'), join(desk, 'photographs')]
  mkdirSync(photographs)
  saveModel(network, { _class_name: 'SRVGGNetCompact', ...config }, nothing)
  await savePng(join(photographs, 'noise.png'), new Generator(1).rand([3, 256, 300]).mul(2).sub(1))
  const options = { num: 1, upscalers: [network], photographs, classifier: 'sticker-classifier-32' }
  const evaluation = await evaluateUpscalers(options, { engine: { threads: 1 } })
  expect(evaluation.sets.map(({ name, num }) => [name, num])).toEqual([
    ['stickers, shrunk', 1],
    ['stickers, degraded', 1],
    ["stickers, from the autoencoder's latents", 1],
    ['photographs, shrunk', 1],
    ['photographs, degraded', 1],
  ])
  for (const { scores } of evaluation.sets) {
    const [nearest, , , own] = scores
    expect(scores.map(({ method }) => method)).toEqual(['nearest', 'bicubic', 'lanczos', 'nothing'])
    expect(own?.psnr).toBeCloseTo(nearest?.psnr as number, 6)
    expect(own?.spectrum).toBeCloseTo(nearest?.spectrum as number, 6)
    // Of one picture no Gaussian can be fitted.
    expect(own?.frechet).toBeUndefined()
  }
  const [shrunk, degraded] = evaluation.sets.map(({ scores }) => scores[1]?.psnr as number) as [number, number]
  expect(shrunk).toBeGreaterThan(degraded + 2)
  expect(upscalerTables(evaluation)[0]?.[1]).toEqual([
    'nearest',
    expect.any(String),
    expect.any(String),
    expect.any(String),
    '–',
    expect.any(String),
  ])
  await expect(evaluateUpscalers({ ...options, photographs: network }, {})).rejects.toThrow('no photographs of 256 × 256 pixels')
})
