import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { saveModel } from '../../checkpoints/folder.ts'
import { rrdbNet, rrdbNetConfig } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { Generator } from '../../runtime/random.ts'
import { upscaleRun } from './upscale.ts'

test('the checkpoint is opened with the first picture, and the next is timed', async () => {
  const config = rrdbNetConfig({ num_in_ch: 3, num_out_ch: 3, num_feat: 8, num_block: 1, num_grow_ch: 4 })
  const [params, dir] = [new Params(), join(temporaryFolder(), 'rrdb')]
  rrdbNet(params, config)
  saveModel(dir, { _class_name: 'RRDBNet', ...config }, params.initialise(new Generator(0)))
  const run = await upscaleRun(dir, 8)
  expect([await run(), await run()]).toEqual([{ loadAndFirstStep: expect.any(Number) }, { ms: expect.any(Number) }])
})
