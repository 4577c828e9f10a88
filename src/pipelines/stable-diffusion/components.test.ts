import { cpSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { type Config, loadConfig, openWeights, saveModel, writeSafetensors } from '../../checkpoints/index.ts'
import { LangevinError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Weights } from '../../runtime/weights.ts'
import { openComponents } from './index.ts'

const whole = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion/sd1', import.meta.url))

/** A copy of the small checkpoint, changed, and the one error that opening it ends in. */
async function told(change: (dir: string) => void): Promise<string> {
  const dir = join(temporaryFolder(), 'model')
  cpSync(whole, dir, { recursive: true })
  change(dir)
  const error = await openComponents(dir).then(
    () => undefined,
    (cause: unknown) => cause,
  )
  expect(error).toBeInstanceOf(LangevinError)
  return (error as LangevinError).message.replaceAll(dir, 'DIR')
}

function json(file: string, change: (fields: Record<string, unknown>) => void) {
  const fields = JSON.parse(readFileSync(file, 'utf8'))
  change(fields)
  writeFileSync(file, JSON.stringify(fields))
}

const unetFile = 'unet/diffusion_pytorch_model.safetensors'
function withUnet(dir: string, change: (weights: Map<string, Weights extends ReadonlyMap<string, infer V> ? V : never>) => void) {
  const weights = new Map(openWeights(join(dir, 'unet')))
  change(weights)
  writeSafetensors(join(dir, 'changed.safetensors'), weights)
  renameSync(join(dir, 'changed.safetensors'), join(dir, unetFile))
}
/** The U-Net in shards, the last of them cut off. */
function withShards(dir: string): string {
  const unet = join(dir, 'unet')
  const [weights, config] = [openWeights(unet), loadConfig(unet) as Config]
  saveModel(join(dir, 'sharded'), config, weights, { maxShardSize: 50_000 })
  rmSync(unet, { recursive: true })
  renameSync(join(dir, 'sharded'), unet)
  const index = JSON.parse(readFileSync(join(unet, 'diffusion_pytorch_model.safetensors.index.json'), 'utf8'))
  const shard = index.weight_map['up_blocks.1.resnets.0.conv1.weight'] as string
  truncateSync(join(unet, shard), 20_000)
  return shard
}

test('the copy opens as it is', async () => {
  expect((await openComponents(whole)).unet.weights.size).toBeGreaterThan(100)
})

test.each([
  ['model_index.json', 'DIR: has no model_index.json'],
  ['unet/config.json', 'DIR/unet/config.json'],
  [unetFile, 'DIR/unet: no weights'],
  ['unet', 'DIR/unet: no such folder'],
  ['vae/diffusion_pytorch_model.safetensors', 'DIR/vae: no weights'],
  ['text_encoder/model.safetensors', 'DIR/text_encoder: no weights'],
  ['scheduler/scheduler_config.json', 'DIR/scheduler/scheduler_config.json'],
  ['tokenizer/tokenizer.json', 'DIR/tokenizer'],
])('without %s the error names it', async (name, expected) => {
  expect(await told((dir) => rmSync(join(dir, name), { recursive: true }))).toContain(expected)
})

test('a tensor that is missing, of another shape, or too many, is named with its file', async () => {
  const missing = await told((dir) => withUnet(dir, (weights) => weights.delete('conv_in.weight')))
  expect(missing).toMatch(/^DIR\/unet: the weights do not fit the network: 1 missing\nmissing:\n {2}conv_in\.weight\n/)
  const shaped = await told((dir) => withUnet(dir, (weights) => weights.set('conv_in.weight', NdArray.zeros([8, 5, 3, 3]))))
  expect(shaped).toContain('DIR/unet')
  expect(shaped).toContain('conv_in.weight: expected [8, 4, 3, 3], got [8, 5, 3, 3]')
  const more = await told((dir) => withUnet(dir, (weights) => weights.set('conv_in.extra', NdArray.zeros([1]))))
  expect(more).toContain('unexpected:\n  conv_in.extra')
})

test('a class that is not known is told with those that are', async () => {
  const index = (change: (fields: Record<string, unknown>) => void) => told((dir) => json(join(dir, 'model_index.json'), change))
  const pipeline = await index((fields) => {
    fields._class_name = 'FluxPipeline'
  })
  expect(pipeline).toMatch(/^DIR\/model_index\.json: _class_name: is FluxPipeline; .*StableDiffusionXLPipeline/)
  const unet = await index((fields) => {
    fields.unet = ['diffusers', 'SD3Transformer2DModel']
  })
  expect(unet).toBe('DIR/model_index.json: unet: is SD3Transformer2DModel; expected UNet2DConditionModel')
  const scheduler = await index((fields) => {
    fields.scheduler = ['diffusers', 'OtherScheduler']
  })
  expect(scheduler).toContain('unknown scheduler class OtherScheduler; known classes: DDPMScheduler')
  const field = await told((dir) =>
    json(join(dir, 'unet/config.json'), (fields) => {
      fields.down_block_types = ['OtherBlock2D', 'DownBlock2D']
    }),
  )
  expect(field).toContain('DIR/unet')
  expect(field).toContain('down_block_types.0')
})

test('a shard, or a file, that was cut off is named with the tensor that it cut', async () => {
  let shard = ''
  const sharded = await told((dir) => {
    shard = withShards(dir)
  })
  expect(sharded).toContain(`DIR/unet/${shard}`)
  const single = await told((dir) => truncateSync(join(dir, unetFile), 60_000))
  expect(single).toContain(`DIR/${unetFile}`)
  const lost = await told((dir) => rmSync(join(dir, 'unet', withShards(dir))))
  expect(lost).toContain('shards missing')
})

test('a pickle that is no state dict is not read: the error says how to convert it', async () => {
  const pickled = (name: string) =>
    told((dir) => {
      rmSync(join(dir, unetFile))
      writeFileSync(join(dir, 'unet', name), Uint8Array.of(0x80, 2, 0x2e))
    })
  expect(await pickled('diffusion_pytorch_model.bin')).toMatch(/^DIR\/unet\/diffusion_pytorch_model\.bin: this is a pickle/)
  expect(await pickled('diffusion_pytorch_model.safetensors')).toContain(`DIR/${unetFile}`)
})
