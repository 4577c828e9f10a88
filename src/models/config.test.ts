import { readFileSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
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

test.each(Object.keys(readers))(
  '%s: a field of a newer diffusers that is switched off is told and left; one that acts is a fault',
  (name) => {
    const read = readers[name] as (fields: unknown) => object
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    for (const value of [null, false, 0, '', [], {}]) expect(read({ novelty: value })).toEqual(read({}))
    expect(warn.mock.calls.map(([message]) => message)).toEqual(
      Array(6).fill(expect.stringMatching(/switched off and were left: novelty/)),
    )
    for (const value of [true, 1, 'x', [0], { a: null }]) expect(() => read({ novelty: value })).toThrow(/novelty: unknown field/)
    warn.mockRestore()
  },
)
