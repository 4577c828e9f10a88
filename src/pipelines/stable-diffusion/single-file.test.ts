import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { maxDifference } from '../../../tests/fixture.ts'
import {
  fromSingleFile,
  kindOf,
  openSafetensors,
  saveConfig,
  saveModel,
  toSingleFile,
  writeModelIndex,
  writeSafetensors,
} from '../../checkpoints/index.ts'
import { finish } from '../../diffusion/index.ts'
import {
  autoencoderKL,
  autoencoderKLConfig,
  clipText,
  clipTextConfig,
  unet2dCondition,
  unet2dConditionConfig,
} from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { Generator } from '../../runtime/random.ts'
import { ClipTokenizer } from '../../text/index.ts'
import { loadStableDiffusion, openComponents } from './index.ts'

const tokenizer = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion/sd1/tokenizer', import.meta.url))

/** A single-file checkpoint of Stable Diffusion 1, as narrow as its norms of 32 groups and its eight heads allow. */
function writeSingleFile(file: string): void {
  const fresh = (seed: number, draw: (p: Params) => unknown) => {
    const p = new Params()
    draw(p)
    return p.initialise(new Generator(seed))
  }
  const widths = { block_out_channels: [32, 32], layers_per_block: 1 }
  const blocks = {
    down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
  }
  const coders = {
    down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
    up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
  }
  const { size } = ClipTokenizer.open(tokenizer)
  const text = { hidden_size: 64, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 1, vocab_size: size }
  const components = new Map([
    ['unet', fresh(0, (p) => unet2dCondition(p, unet2dConditionConfig({ ...widths, ...blocks, cross_attention_dim: 64 })))],
    ['vae', fresh(1, (p) => autoencoderKL(p, autoencoderKLConfig({ ...widths, ...coders })))],
    ['text_encoder', fresh(2, (p) => clipText(p, clipTextConfig(text)))],
  ])
  writeSafetensors(file, toSingleFile({ family: 'sd1', components }))
}

/** The folder that diffusers would make of a single file. */
function convert(file: string, dir: string): void {
  const { tensors } = openSafetensors(file)
  const single = fromSingleFile(tensors, file)
  const { pipeline, configs } = kindOf(single, tensors)
  const classes = { unet: 'UNet2DConditionModel', vae: 'AutoencoderKL', text_encoder: 'CLIPTextModel' }
  for (const name of Object.keys(classes)) saveModel(join(dir, name), configs[name] ?? {}, single.components.get(name) ?? [])
  saveConfig(join(dir, 'scheduler'), { ...configs.scheduler }, 'scheduler_config.json')
  const scheduler = String(configs.scheduler?._class_name)
  writeModelIndex(dir, {
    _class_name: pipeline,
    components: new Map(
      Object.entries({ ...classes, scheduler, tokenizer: 'CLIPTokenizer' }).map(([name, className]) => [
        name,
        { library: className.startsWith('CLIP') ? 'transformers' : 'diffusers', className },
      ]),
    ),
    options: {},
  })
}

test('a single-file checkpoint gives the picture of its folder, and says what it lacks where no vocabulary is', async () => {
  const dir = temporaryFolder()
  const file = join(dir, 'tiny.safetensors')
  writeSingleFile(file)
  await expect(openComponents(file)).rejects.toThrow(/tokenizer: no tokenizer here.*Give a folder with tokenizer\//s)

  const folder = join(dir, 'folder')
  convert(file, folder)
  cpSync(tokenizer, join(folder, 'tokenizer'), { recursive: true })
  const made = async (model: string, options = {}) => {
    const sd = await loadStableDiffusion(model, { threads: 1, ...options })
    const pictures = await finish(sd.generate({ prompt: 'a cat', steps: 2, height: 16, width: 16 }))
    await sd.release()
    return pictures
  }
  const [whole, single] = [await made(folder), await made(file, { tokenizer: folder })]
  expect([single.shape, single.allFinite()]).toEqual([[1, 3, 16, 16], true])
  expect(maxDifference(single, whole)).toBeLessThan(1e-5)

  // A checkpoint without an autoencoder, and the autoencoder as a file of its own.
  const { tensors } = openSafetensors(file)
  const ofCoder = (key: string) => key.startsWith('first_stage_model.')
  const [bare, coder] = [join(dir, 'bare.safetensors'), join(dir, 'coder.safetensors')]
  writeSafetensors(
    bare,
    [...tensors].filter(([key]) => !ofCoder(key)),
  )
  writeSafetensors(
    coder,
    [...tensors].flatMap(([key, value]) => (ofCoder(key) ? [[key.slice(18), value] as const] : [])),
  )
  const apart = await made(bare, { tokenizer: folder, vae: coder })
  expect(maxDifference(apart, whole)).toBeLessThan(1e-5)
  await expect(openComponents(bare, { tokenizer: folder })).rejects.toThrow(/vae.*is not in the file/)
  expect(single.std().item()).toBeGreaterThan(0.01)
}, 120_000)
