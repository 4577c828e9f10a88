import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { sceneDataset } from '../../../data/index.ts'
import { autoencoderKL, autoencoderKLConfig } from '../../../models/vae/index.ts'
import { Params } from '../../../nn/params.ts'
import { createAutoencoder } from '../../../pipelines/index.ts'
import { Generator } from '../../../runtime/random.ts'
import { latentPool } from './pool.ts'

const folder = mkdtempSync(join(tmpdir(), 'langevin-latents-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('latents are made once, kept when all are there, and are the encoder’s, scaled', { timeout: 60_000 }, async () => {
  const config = autoencoderKLConfig({
    sample_size: 16,
    block_out_channels: [8, 16],
    down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
    up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
    norm_num_groups: 4,
    scaling_factor: 0.5,
  })
  const params = new Params()
  autoencoderKL(params, config)
  const weights = params.initialise(new Generator(0))
  const scenes = await sceneDataset({ size: 16, styles: ['noto'] })
  const asked: number[] = []
  const images = async (positions: readonly number[]) => {
    asked.push(...positions)
    return (await scenes.batch(positions)).images
  }
  const open = (more: object = {}) => latentPool({ images, vae: { config, weights }, count: 20, stamp: {}, folder, ...more })

  const pool = open()
  const some = await pool([3, 17, 3])
  expect([some.shape, asked.length, readdirSync(folder).length]).toEqual([[3, 4, 8, 8], 32, 1])
  const coder = createAutoencoder({ config, weights })
  const alone = (await coder.encode((await scenes.batch([3, 17, 3])).images)).mul(0.5)
  await coder.release()
  expect(maxDifference(some, alone)).toBeLessThan(1e-5)

  expect(maxDifference(await open()([3, 17, 3]), some)).toBe(0)
  expect(asked).toHaveLength(32)
  await open({ stamp: { seed: 1 } })([0])
  expect([asked.length, readdirSync(folder).length]).toEqual([48, 1])

  const [file] = readdirSync(folder) as [string]
  writeFileSync(join(folder, file), 'torn')
  expect(maxDifference(await open()([3, 17, 3]), some)).toBe(0)
  expect(asked).toHaveLength(80)
})
