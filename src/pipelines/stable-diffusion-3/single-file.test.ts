import { cpSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fileOf, temporaryFolder } from '../../../tests/checkpoints.ts'
import { fixture, maxDifference } from '../../../tests/fixture.ts'
import { sd3Checkpoint } from '../../../tests/stable-diffusion-3.ts'
import {
  fromSingleFile,
  kindOf,
  openSafetensors,
  openWeights,
  readTensor,
  saveConfig,
  saveModel,
  toSingleFile,
  writeModelIndex,
  writeSafetensors,
} from '../../checkpoints/index.ts'
import { prefixed } from '../../checkpoints/single-file.ts'
import { finish } from '../../diffusion/index.ts'
import { toPixels } from '../../images/index.ts'
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
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import type { Weights } from '../../runtime/weights.ts'
import { ClipTokenizer } from '../../text/index.ts'
import { loadPipeline } from '../load.ts'

const [sd3, sd35] = [sd3Checkpoint('sd3'), sd3Checkpoint('sd35')]
const cat = 'a photo of a cat sitting on a wooden table, soft morning light'

async function made(model: string, options: object, run: object): Promise<NdArray<'f32'>> {
  const pipeline = await loadPipeline(model, { threads: 1, ...options })
  const result = await finish(pipeline.generate({ prompt: cat, seed: 3, ...run }))
  await pipeline.release()
  return (result as { readonly pictures: NdArray<'f32'> }).pictures
}

test('a file of the transformer alone takes the rest from a folder, with its prefix and without', async () => {
  const dir = temporaryFolder()
  const transformer = openWeights(join(sd35, 'transformer'))
  const original = toSingleFile({ family: 'sd3', components: new Map([['transformer', transformer]]) })
  expect(original.has('model.diffusion_model.joint_blocks.0.x_block.attn2.qkv.weight')).toBe(true)
  const [file, bare] = [join(dir, 'sd35.safetensors'), join(dir, 'bare.safetensors')]
  writeSafetensors(file, original)
  writeSafetensors(bare, prefixed(original, 'model.diffusion_model.'))
  const expected = fixture('stable-diffusion-3/pictures').tensors.get('sd35 plain 0') as NdArray
  // A file says nothing of the size that its network was trained on: the published ones' is taken.
  const run = { steps: 4, width: 24, height: 24 }
  for (const one of [file, bare]) {
    const picture = await made(one, { tokenizer: sd35 }, run)
    const levels = toPixels(picture.reshape(picture.shape.slice(1)))
    expect(maxDifference(levels, expected)).toBeLessThanOrEqual(1)
  }
  await expect(loadPipeline(file)).rejects.toThrow(/sd35.safetensors \(vae\): is not in the file/)
  await expect(loadPipeline(file, { vae: join(sd35, 'vae') })).rejects.toThrow(
    /none of its text encoders: give a folder with text_encoder/,
  )
})

/** A whole file of Stable Diffusion 3, as narrow as heads of 64 channels and norms of 32 groups allow. */
function wholeFile(file: string): void {
  const fresh = (seed: number, build: (p: Params) => unknown): Weights => {
    const p = new Params()
    build(p)
    const random = new Generator(seed)
    return new Map([...p.initialise(random)].map(([key, value]) => [key, value.add(random.randn(value.shape).mul(0.05))]))
  }
  const { size } = ClipTokenizer.open(join(sd3, 'tokenizer'))
  const coders = {
    ...{
      block_out_channels: [32, 32],
      layers_per_block: 1,
      latent_channels: 16,
      use_quant_conv: false,
      use_post_quant_conv: false,
    },
    ...{ down_block_types: Array(2).fill('DownEncoderBlock2D'), up_block_types: Array(2).fill('UpDecoderBlock2D') },
  }
  const text = { num_hidden_layers: 2, vocab_size: size, intermediate_size: 64 }
  const own = { num_attention_heads: 1, attention_head_dim: 64, num_layers: 2, caption_projection_dim: 64, pos_embed_max_size: 8 }
  const t5 = { vocab_size: 832, d_model: 192, d_kv: 8, d_ff: 32, num_layers: 1, num_heads: 2, feed_forward_proj: 'gated-gelu' }
  const sizes = { joint_attention_dim: 192, pooled_projection_dim: 192 }
  const [first, second] = [
    { ...text, hidden_size: 64, num_attention_heads: 1, projection_dim: 64 },
    { ...text, hidden_size: 128, num_attention_heads: 2, projection_dim: 128 },
  ]
  const components = new Map<string, Weights>([
    ['transformer', fresh(0, (p) => mmditTransformer(p, mmditConfig({ ...own, ...sizes })))],
    ['vae', fresh(1, (p) => autoencoderKL(p, autoencoderKLConfig(coders)))],
    ['text_encoder', fresh(2, (p) => clipTextWithProjection(p, clipTextConfig(first)))],
    ['text_encoder_2', fresh(3, (p) => clipTextWithProjection(p, clipTextConfig(second)))],
    ['text_encoder_3', fresh(4, (p) => t5Encoder(p, t5Config(t5)))],
  ])
  const original = new Map(toSingleFile({ family: 'sd3', components }))
  // The published files have none for the first encoder: it changes nothing.
  original.delete('text_encoders.clip_l.transformer.text_projection.weight')
  writeSafetensors(file, original)
}

/** The folder that diffusers would make of a single file. */
function convert(file: string, dir: string): void {
  const { tensors } = openSafetensors(file)
  const single = fromSingleFile(tensors, file)
  const { pipeline, configs } = kindOf(single, tensors)
  const classes: Record<string, string> = {
    ...{ transformer: 'SD3Transformer2DModel', vae: 'AutoencoderKL', text_encoder_3: 'T5EncoderModel' },
    ...{ text_encoder: 'CLIPTextModelWithProjection', text_encoder_2: 'CLIPTextModelWithProjection' },
  }
  for (const name of Object.keys(classes)) saveModel(join(dir, name), configs[name] ?? {}, single.components.get(name) ?? [])
  saveConfig(join(dir, 'scheduler'), { ...configs.scheduler }, 'scheduler_config.json')
  const tokenizers = { tokenizer: 'CLIPTokenizer', tokenizer_2: 'CLIPTokenizer', tokenizer_3: 'T5TokenizerFast' }
  for (const name of Object.keys(tokenizers)) cpSync(join(sd3, name), join(dir, name), { recursive: true })
  const all = { ...classes, ...tokenizers, scheduler: String(configs.scheduler?._class_name) }
  writeModelIndex(dir, {
    _class_name: pipeline,
    components: new Map(Object.entries(all).map(([name, className]) => [name, { library: 'diffusers', className }])),
    options: {},
  })
}

test('a whole file gives the picture of its folder, and comes back as it was', async () => {
  const dir = temporaryFolder()
  const file = join(dir, 'whole.safetensors')
  wholeFile(file)
  const { tensors } = openSafetensors(file)
  const single = fromSingleFile(tensors, file)
  expect(single.unknown).toEqual([])
  expect([...single.components.keys()].sort()).toEqual(['text_encoder', 'text_encoder_2', 'text_encoder_3', 'transformer', 'vae'])
  expect(kindOf(single, tensors)).toMatchObject({
    ...{ pipeline: 'StableDiffusion3Pipeline', prediction: 'flow_prediction', warnings: [] },
    configs: {
      transformer: { num_attention_heads: 1, attention_head_dim: 64, num_layers: 2, pos_embed_max_size: 8, in_channels: 16 },
      text_encoder_3: { d_model: 192, d_kv: 8, d_ff: 32, num_heads: 2, num_layers: 1, feed_forward_proj: 'gated-gelu' },
      vae: { scaling_factor: 1.5305, shift_factor: 0.0609, latent_channels: 16, use_quant_conv: false },
      scheduler: { _class_name: 'FlowMatchEulerDiscreteScheduler', shift: 3 },
    },
  })
  const back = toSingleFile(single)
  expect([...tensors.keys()].filter((key) => !back.has(key))).toEqual([])

  const folder = join(dir, 'folder')
  convert(file, folder)
  expect(existsSync(join(folder, 'model_index.json'))).toBe(true)
  const run = { steps: 2, width: 16, height: 16, maxLength: 16 }
  const [whole, one] = [await made(folder, {}, run), await made(file, { tokenizer: folder }, run)]
  expect(one.allFinite()).toBe(true)
  expect(maxDifference(one, whole)).toBeLessThan(1e-5)
  await expect(loadPipeline(file)).rejects.toThrow('no tokenizer here')
})

/** A number's nearest in 4 bits of exponent and 3 of mantissa: its byte and its value. */
function e4m3(value: number): [byte: number, rounded: number] {
  const size = Math.min(448, Math.abs(value))
  const exponent = Math.max(-6, Math.floor(Math.log2(size || 1e-9)))
  const step = 2 ** (exponent - 3)
  const steps = Math.round(size / step)
  const byte = exponent === -6 && steps < 8 ? steps : ((exponent + 7) << 3) + (steps - 8)
  return [byte | (value < 0 ? 0x80 : 0), Math.sign(value) * steps * step]
}

/** The same in 5 and 2, the upper byte of a half, rounded towards zero. */
function e5m2(value: number): [byte: number, rounded: number] {
  const bits = (NdArray.from([value]).cast('f16').data[0] as number) & 0xff00
  return [bits >> 8, new NdArray(Uint16Array.of(bits), [1], 'f16').cast('f32').item()]
}

/**
 * Writes tensors by turns in both types of fp8 and in bf16, those of one axis as f32, the matrices of T5 in fp8 over a scale, and gives
 * the values that they have then.
 */
function writeSmall(file: string, weights: Weights): Map<string, NdArray> {
  const values = new Map<string, NdArray>()
  const header: Record<string, object> = {}
  const parts: Uint8Array[] = []
  let at = 0
  const put = (key: string, dtype: string, shape: readonly number[], { buffer, byteOffset, byteLength }: ArrayBufferView) => {
    header[key] = { dtype, shape, data_offsets: [at, at + byteLength] }
    parts.push(new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength))
    at += byteLength
  }
  const scale = 2 ** -6
  for (const [i, [key, given]] of [...weights].entries()) {
    const value = readTensor(given).cast('f32')
    const scaled = /t5xxl.*\.(q|k|v|o|wi_0|wi_1|wo)\.weight$/.test(key)
    const type = value.shape.length < 2 ? 'F32' : scaled ? 'F8_E4M3' : (['F8_E4M3', 'F8_E5M2', 'BF16'] as const)[i % 3]
    if (type === 'F32' || type === 'BF16') {
      const stored = type === 'F32' ? value : value.cast('bf16')
      put(key, type, value.shape, stored.data)
      values.set(key, stored.cast('f32'))
      continue
    }
    const own = scaled ? scale : 1
    const rounded = Array.from(value.data, (one) => (type === 'F8_E4M3' ? e4m3 : e5m2)(one / own))
    put(
      key,
      type as string,
      value.shape,
      Uint8Array.from(rounded, ([byte]) => byte),
    )
    if (scaled) put(key.replace(/weight$/, 'scale_weight'), 'F32', [], Float32Array.of(scale))
    const real = rounded.map(([, one]) => one * own)
    values.set(key, NdArray.from(real, value.shape))
  }
  put('text_encoders.t5xxl.transformer.scaled_fp8', 'F8_E4M3', [0], new Uint8Array())
  writeFileSync(file, fileOf(JSON.stringify(header), Buffer.concat(parts)))
  return values
}

test('a file stored in both types of fp8, scaled or not, and in bf16 gives the picture of the values that it holds', async () => {
  const dir = temporaryFolder()
  const [file, small, wide] = ['whole', 'small', 'wide'].map((name) => join(dir, `${name}.safetensors`)) as [
    string,
    string,
    string,
  ]
  wholeFile(file)
  const { tensors } = openSafetensors(file)
  writeSafetensors(wide, writeSmall(small, tensors))
  expect(fromSingleFile(openSafetensors(small).tensors).unknown).toEqual([])
  const run = { steps: 2, width: 16, height: 16, maxLength: 16 }
  const [got, expected] = [await made(small, { tokenizer: sd3 }, run), await made(wide, { tokenizer: sd3 }, run)]
  expect(got.allFinite()).toBe(true)
  expect(maxDifference(got, expected)).toBeLessThan(1e-4)
})
