import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  autoencoderKLConfig,
  autoencoderTinyConfig,
  controlNetConfig,
  t2iAdapterConfig,
  unet2dConditionConfig,
  unet2dConfig,
  vqModelConfig,
} from './index.ts'

interface Saved {
  readonly _class_name: string
}
const file = new URL('../../parity/fixtures/model_configs.json', import.meta.url)
const { configs }: { configs: Saved[] } = JSON.parse(readFileSync(file, 'utf8'))

const readers: Record<string, (fields: unknown) => object> = {
  UNet2DModel: unet2dConfig,
  UNet2DConditionModel: unet2dConditionConfig,
  AutoencoderKL: autoencoderKLConfig,
  AutoencoderTiny: autoencoderTinyConfig,
  VQModel: vqModelConfig,
  ControlNetModel: controlNetConfig,
  T2IAdapter: t2iAdapterConfig,
}

test.each(configs)('$_class_name: what diffusers saves is read, and its defaults are ours', (saved) => {
  const read = readers[saved._class_name] as (fields: unknown) => object
  const fields = Object.fromEntries(Object.entries(saved).filter(([key]) => !key.startsWith('_')))
  expect(read(saved)).toEqual(fields)
  // A field that upstream derives while it makes the network is no default.
  const { block_out_channels: _, ...defaults } = fields as Record<string, unknown>
  expect(read({})).toMatchObject(saved._class_name === 'AutoencoderTiny' ? defaults : fields)
})
