import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { openSafetensors, readTensor, saveModel, writeSafetensors } from '../../checkpoints/index.ts'
import { autoencoderKL, autoencoderKLConfig, clipText, clipTextConfig } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { finish, type LoadOptions, loadStableDiffusion, modelFolder } from '../../pipelines/index.ts'
import { savePipelineFrame } from '../../recipes/tasks/text-to-image/pipeline-folder.ts'
import { type FileTensor, Generator, type NdArray } from '../../runtime/index.ts'
import { cacheFolder } from '../../runtime/node/cache.ts'
import type { benchmarks } from './compare.ts'
import { sdCheckpoint } from './sd-unet.ts'

export type Mode = (typeof benchmarks.modes.forms)[number]

const modes = {
  float: {},
  'deep:2': { cache: { kind: 'deep', interval: 2 } },
  'deep:3': { cache: { kind: 'deep', interval: 3 } },
  'deep:5': { cache: { kind: 'deep', interval: 5 } },
  'first-block:0.1': { cache: { kind: 'first-block', threshold: 0.1 } },
  int8: { quantize: 'int8' },
  int4: { quantize: 'int4' },
  'low-memory': { lowMemory: true },
} as const satisfies Record<Mode, LoadOptions>

const clip = {
  ...{ vocab_size: 49408, hidden_size: 768, intermediate_size: 3072, num_hidden_layers: 12, num_attention_heads: 12 },
  ...{ max_position_embeddings: 77, hidden_act: 'quick_gelu', bos_token_id: 49406, eos_token_id: 49407 },
}
const vae = {
  ...{ latent_channels: 4, block_out_channels: [128, 256, 512, 512], layers_per_block: 2, norm_num_groups: 32 },
  down_block_types: Array(4).fill('DownEncoderBlock2D'),
  up_block_types: Array(4).fill('UpDecoderBlock2D'),
}
const scheduler = {
  ...{ beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', clip_sample: false, set_alpha_to_one: false },
  ...{ steps_offset: 1, num_train_timesteps: 1000, prediction_type: 'epsilon', _class_name: 'DDIMScheduler' },
}

/** A folder of Stable Diffusion 1.5 with random weights, in diffusers' layout: 4.2 GB, kept in the cache. */
async function checkpoint(): Promise<string> {
  const unet = await sdCheckpoint()
  const dir = join(cacheFolder('bench'), 'stable-diffusion-1.5')
  if (existsSync(dir)) return dir
  const part = `${dir}.part`
  rmSync(part, { recursive: true, force: true })
  mkdirSync(part)
  symlinkSync(resolve(unet), join(part, 'unet'))
  const [text, pictures, generator] = [new Params(), new Params(), new Generator(0)]
  clipText(text, clipTextConfig(clip, 'text_encoder'))
  autoencoderKL(pictures, autoencoderKLConfig(vae, 'vae'))
  saveModel(
    join(part, 'text_encoder'),
    { architectures: ['CLIPTextModel'], model_type: 'clip_text_model', ...clip },
    text.initialise(generator),
  )
  saveModel(join(part, 'vae'), { _class_name: 'AutoencoderKL', ...vae }, pictures.initialise(generator))
  savePipelineFrame(part, { scheduler, tokenizer: modelFolder('stickers-clip') })
  renameSync(part, dir)
  return dir
}

/** A picture of 128×128 by 20 guided steps, and the time that it took, the networks being there. */
async function picture(dir: string, mode: Mode): Promise<{ made: NdArray<'f32'>; ms: number }> {
  const sd = await loadStableDiffusion(dir, modes[mode])
  const draw = () => finish(sd.generate({ prompt: 'a red fox', steps: 20, seed: 0, width: 128, height: 128 }))
  try {
    if (mode !== 'low-memory') await draw()
    const before = performance.now()
    return { made: await draw(), ms: performance.now() - before }
  } finally {
    await sd.release()
  }
}

/** The folder of the checkpoint, with the float network's picture for the others to be compared with. */
export async function modesCheckpoint(): Promise<string> {
  const dir = await checkpoint()
  writeSafetensors(join(dir, FLOAT), new Map([['picture', (await picture(dir, 'float')).made]]))
  return dir
}
const FLOAT = 'float-picture.safetensors'

/** Milliseconds a picture, and its peak signal-to-noise ratio in decibels against the float network's; none where they are equal. */
export async function modeFigures(dir: string, mode: Mode): Promise<{ ms: number; psnr?: number }> {
  const { made, ms } = await picture(dir, mode)
  const float = readTensor(openSafetensors(join(dir, FLOAT)).tensors.get('picture') as FileTensor)
  const error = made.sub(float).square().mean().item()
  // Of random weights: the peak is the picture's own range, which is less than that of colours.
  const peak = float.max().item() - float.min().item()
  return error === 0 ? { ms } : { ms, psnr: 10 * Math.log10(peak ** 2 / error) }
}
