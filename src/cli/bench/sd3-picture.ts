import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, saveConfig, saveModel, writeModelIndex } from '../../checkpoints/index.ts'
import { sizeOf } from '../../core/shape.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import {
  autoencoderKL,
  autoencoderKLConfig,
  clipTextConfig,
  clipTextWithProjection,
  mmditConfig,
  mmditTransformer,
  t5Config,
  t5Encoder,
} from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { finish, type LoadOptions, loadPipeline, modelFolder } from '../../pipelines/index.ts'
import { Generator, NdArray } from '../../runtime/index.ts'
import { cacheFolder } from '../../runtime/node/cache.ts'
import type { benchmarks } from './compare.ts'
import { medium } from './sd3-transformer.ts'

export type Form = (typeof benchmarks)['sd3-picture']['forms'][number]

/** How each form is loaded. */
const forms = {
  float: { lowMemory: true },
  int8: { lowMemory: true, quantize: 'int8' },
} as const satisfies Record<Form, LoadOptions>

/** Configs of a checkpoint's networks. */
export interface Configs {
  readonly transformer: object
  readonly vae: object
  readonly text_encoder: { readonly hidden_act: string }
  readonly text_encoder_2: object
  readonly text_encoder_3: object
}

const clip = { vocab_size: 49408, max_position_embeddings: 77, bos_token_id: 0, eos_token_id: 2 }

/** Stable Diffusion 3 medium's: 2.03 billion parameters of the transformer, 4.76 of T5-XXL, 0.12 and 0.69 of CLIP's, 0.08 of the autoencoder. */
const published: Configs = {
  transformer: medium,
  vae: {
    ...{ latent_channels: 16, block_out_channels: [128, 256, 512, 512], layers_per_block: 2, norm_num_groups: 32 },
    ...{ scaling_factor: 1.5305, shift_factor: 0.0609, use_quant_conv: false, use_post_quant_conv: false },
    down_block_types: Array(4).fill('DownEncoderBlock2D'),
    up_block_types: Array(4).fill('UpDecoderBlock2D'),
  },
  text_encoder: {
    ...{ ...clip, hidden_size: 768, intermediate_size: 3072, num_hidden_layers: 12, num_attention_heads: 12 },
    ...{ projection_dim: 768, hidden_act: 'quick_gelu' },
  },
  text_encoder_2: {
    ...{ ...clip, hidden_size: 1280, intermediate_size: 5120, num_hidden_layers: 32, num_attention_heads: 20 },
    ...{ projection_dim: 1280, hidden_act: 'gelu' },
  },
  text_encoder_3: {
    ...{ vocab_size: 32128, d_model: 4096, d_kv: 64, d_ff: 10240, num_layers: 24, num_heads: 64 },
    ...{ feed_forward_proj: 'gated-gelu', tie_word_embeddings: false },
  },
}

/** Values of a checkpoint that nobody trained, in float16: all its matrices are views of one buffer, since 15 GB are not held at once. */
class RandomHalves {
  private readonly noise: Uint16Array
  private readonly ones: Uint16Array

  constructor(most: number) {
    const tile = new Generator(0)
      .randn([Math.min(most, 2 ** 20)])
      .mul(0.02)
      .cast('f16').data as Uint16Array
    this.noise = new Uint16Array(most)
    for (let at = 0; at < most; at += tile.length) this.noise.set(tile.subarray(0, most - at), at)
    this.ones = new Uint16Array(2 ** 20).fill(0x3c00)
  }

  /** Noise of deviation 0.02 for matrices, ones for the weights of norms, noise for what else is a vector. */
  of(key: string, { shape }: Tensor): NdArray {
    const source = shape.length < 2 && key.endsWith('.weight') ? this.ones : this.noise
    return new NdArray(source.subarray(0, sizeOf(shape)), shape, 'f16')
  }
}

/** The networks of a checkpoint, traced so that they declare their parameters. */
function declared(configs: Configs): Map<keyof Configs, Params> {
  const traced = (trace: (params: Params) => unknown) => {
    const params = new Params()
    trace(params)
    return params
  }
  const transformer = mmditConfig(configs.transformer)
  const side = 2 * transformer.patch_size
  return new Map([
    [
      'transformer',
      traced((p) =>
        mmditTransformer(p, transformer)(input('x', [1, transformer.in_channels, side, side]), input('t', [1]), {
          context: input('context', [1, 1, transformer.joint_attention_dim]),
          pooled: input('pooled', [1, transformer.pooled_projection_dim]),
        }),
      ),
    ],
    ['vae', traced((p) => autoencoderKL(p, autoencoderKLConfig(configs.vae, 'vae')))],
    ['text_encoder', traced((p) => clipTextWithProjection(p, clipTextConfig(configs.text_encoder, 'text_encoder')))],
    ['text_encoder_2', traced((p) => clipTextWithProjection(p, clipTextConfig(configs.text_encoder_2, 'text_encoder_2')))],
    ['text_encoder_3', traced((p) => t5Encoder(p, t5Config(configs.text_encoder_3, 'text_encoder_3')))],
  ])
}

const classes = {
  transformer: ['diffusers', 'SD3Transformer2DModel'],
  vae: ['diffusers', 'AutoencoderKL'],
  text_encoder: ['transformers', 'CLIPTextModelWithProjection'],
  text_encoder_2: ['transformers', 'CLIPTextModelWithProjection'],
  text_encoder_3: ['transformers', 'T5EncoderModel'],
  tokenizer: ['transformers', 'CLIPTokenizer'],
  tokenizer_2: ['transformers', 'CLIPTokenizer'],
  tokenizer_3: ['transformers', 'T5Tokenizer'],
  scheduler: ['diffusers', 'FlowMatchEulerDiscreteScheduler'],
} as const

/** A tokenizer of T5 that knows letters: the memory of a prompt is that of its padded length, whatever its tokens are. */
const letters = {
  model: {
    ...{ type: 'Unigram', unk_id: 2 },
    vocab: ['<pad>', '</s>', '<unk>', '▁', ...'abcdefghijklmnopqrstuvwxyz'].map((piece, i) => [piece, i < 3 ? 0 : -i]),
  },
  added_tokens: [],
}

/** Writes a folder in diffusers' layout, in float16, in one step. */
export function writeSd3Folder(dir: string, configs: Configs = published): string {
  if (existsSync(dir)) return dir
  const part = `${dir}.part`
  rmSync(part, { recursive: true, force: true })
  mkdirSync(part, { recursive: true })
  const networks = declared(configs)
  const sizes = [...networks.values()].flatMap((params) => [...params.tensors.values()].map(({ size }) => size))
  const values = new RandomHalves(Math.max(...sizes))
  for (const [name, params] of networks) {
    const [library, className] = classes[name]
    const kind = name === 'text_encoder_3' ? 't5' : 'clip_text_model'
    const fields = library === 'diffusers' ? { _class_name: className } : { architectures: [className], model_type: kind }
    const weights = [...params.tensors].map(([key, tensor]) => [key, values.of(key, tensor)] as const)
    saveModel(join(part, name), { ...fields, ...configs[name] }, weights)
  }
  const words = modelFolder('stickers-clip')
  for (const tokenizer of ['tokenizer', 'tokenizer_2']) {
    mkdirSync(join(part, tokenizer))
    for (const file of ['vocab.json', 'merges.txt', 'special_tokens_map.json'])
      copyFileSync(join(words, file), join(part, tokenizer, file))
    const options = loadConfig(words, 'tokenizer_config.json')
    saveConfig(join(part, tokenizer), { ...options, model_max_length: 77 }, 'tokenizer_config.json')
  }
  saveConfig(join(part, 'tokenizer_3'), letters, 'tokenizer.json')
  saveConfig(join(part, 'scheduler'), { _class_name: classes.scheduler[1], shift: 3 }, 'scheduler_config.json')
  writeModelIndex(part, {
    _class_name: 'StableDiffusion3Pipeline',
    components: new Map(Object.entries(classes).map(([name, [library, className]]) => [name, { library, className }])),
    options: {},
  })
  renameSync(part, dir)
  return dir
}

/** The folder of Stable Diffusion 3 medium with random weights: 15.6 GB, written once and kept in the cache. */
export const sd3Folder = (): string => writeSd3Folder(join(cacheFolder('bench'), 'stable-diffusion-3-medium'))

/** A guided picture of one step, the networks opened, run and freed one after another: the step's time is nearly all. */
export async function sd3Picture(dir: string, form: Form, side = 1024): Promise<{ ms: number }> {
  const before = performance.now()
  const pipeline = await loadPipeline(dir, forms[form])
  try {
    await finish(pipeline.generate({ prompt: 'a red fox on a blue background', steps: 1, seed: 0, width: side, height: side }))
    return { ms: performance.now() - before }
  } finally {
    await pipeline.release()
  }
}
