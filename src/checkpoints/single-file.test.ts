import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { contentOf, temporaryFolder } from '../../tests/checkpoints.ts'
import { sizeOf } from '../core/shape.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { openSafetensors, readTensor, writeSafetensors } from './safetensors.ts'
import { familyOf, fromSingleFile, SingleFileError, toSingleFile } from './single-file.ts'
import { kindOf } from './single-file-configs.ts'

/** Shape, first, second and last element. */
type Told = [number[], number, number, number]
const made: Record<
  string,
  { original: Record<string, number[]>; components: Record<string, Record<string, Told>>; unet: Record<string, unknown> }
> = JSON.parse(readFileSync(new URL('../../parity/fixtures/single_file.json', import.meta.url), 'utf8')).cases

/** The original as the fixture's script filled it: every element its own number. */
function originalOf(kind: string): Map<string, NdArray> {
  let offset = 0
  return new Map(
    Object.entries(made[kind]?.original ?? {}).map(([key, shape]) => {
      const size = sizeOf(shape)
      const data = Float32Array.from({ length: size }, (_, i) => offset + i)
      offset += size
      return [key, new NdArray(data, shape, 'f32')]
    }),
  )
}

const told = ({ data, shape }: NdArray): Told => [
  [...shape],
  Number(data[0]),
  Number(data[Math.min(1, data.length - 1)]),
  Number(data.at(-1)),
]
const memory = (value: NdArray | Parameters<typeof readTensor>[0]) => ('file' in value ? readTensor(value) : value)

test.each(Object.keys(made))('%s: components as diffusers converts them, from memory and from a file, and back', (kind) => {
  const original = originalOf(kind)
  const file = join(temporaryFolder(), 'model.safetensors')
  writeSafetensors(file, original)
  for (const weights of [original, openSafetensors(file).tensors]) {
    const { family, components } = fromSingleFile(weights)
    expect(family).toBe(
      kind
        .split('-')
        .slice(0, kind.startsWith('xl') ? 2 : 1)
        .join('-'),
    )
    const found = Object.fromEntries(
      [...components].map(([name, own]) => [
        name,
        Object.fromEntries([...own].map(([key, value]) => [key, told(memory(value))])),
      ]),
    )
    expect(found).toEqual(made[kind]?.components)
    const back = toSingleFile({ family, components })
    const lost = [...original.keys()].filter((key) => !back.has(key))
    const unneeded =
      /^(betas|model_ema\.decay)$|position_ids$|logit_scale$|^cond_stage_model\.model\.(transformer\.resblocks\.23\.|text_projection$)/
    expect(lost.filter((key) => !unneeded.test(key))).toEqual([])
    for (const [key, value] of back) expect(contentOf(memory(value)), key).toEqual(contentOf(original.get(key) as NdArray))
  }
})

test('what a file holds is left where it lies, split tensors too', () => {
  const file = join(temporaryFolder(), 'model.safetensors')
  writeSafetensors(file, originalOf('xl-base'))
  const { components } = fromSingleFile(openSafetensors(file).tensors)
  const copied = [...components].flatMap(([name, own]) =>
    [...own].flatMap(([key, value]) => ('file' in value ? [] : [`${name} ${key}`])),
  )
  expect(copied).toEqual(['text_encoder_2 text_projection.weight'])
})

test.each(Object.entries(made))('%s: the U-Net has the config that diffusers was given', (kind, { unet }) => {
  const original = originalOf(kind)
  const { configs, task, pipeline } = kindOf(fromSingleFile(original), original)
  const expected = {
    sd1: 'StableDiffusionPipeline',
    'sd1-inpaint': 'StableDiffusionInpaintPipeline',
    'sd2-upscale': 'StableDiffusionUpscalePipeline',
    'xl-base': 'StableDiffusionXLPipeline',
    'xl-refiner': 'StableDiffusionXLImg2ImgPipeline',
  } as Record<string, string>
  if (expected[kind]) expect(pipeline).toBe(expected[kind])
  expect(task).toBe(kind.split('-')[1]?.replace(/base|refiner/, 'text-to-image') ?? 'text-to-image')
  // Neither heads nor sizes of pictures can be told from shapes.
  const free = ['attention_head_dim', 'sample_size', 'addition_time_embed_dim', '_class_name']
  const fields = Object.entries(configs.unet ?? {}).filter(([key]) => !free.includes(key))
  const types = unet.down_block_types as string[]
  const whole = (value: unknown) =>
    Array.isArray(value) && value.length === types.length ? value : Array(types.length).fill(value)
  for (const [key, value] of fields) {
    if (key !== 'transformer_layers_per_block' && key !== 'only_cross_attention') expect(value, key).toEqual(unet[key])
    else {
      // What holds for a level without attention cannot be told; of the last one, its depth is the middle's.
      const last = key === 'transformer_layers_per_block' ? types.length - 1 : -1
      const kept = (list: unknown[]) => list.filter((_, i) => types[i] !== 'DownBlock2D' || i === last)
      expect(kept(whole(value)), key).toEqual(kept(whole(unet[key])))
    }
  }
})

test('heads, activations and predictions follow the family', () => {
  const kind = (name: string, ...marks: string[]) => {
    const original = originalOf(name)
    for (const mark of marks) original.set(mark, NdArray.zeros([]))
    return kindOf(fromSingleFile(original), original)
  }
  expect(kind('sd1')).toMatchObject({
    prediction: 'epsilon',
    predictionKnown: true,
    configs: { unet: { attention_head_dim: 8 } },
  })
  expect(kind('sd2')).toMatchObject({ prediction: 'v_prediction', predictionKnown: false })
  expect(kind('sd2').configs).toMatchObject({ text_encoder: { num_hidden_layers: 23, hidden_size: 6, eos_token_id: 49407 } })
  expect(kind('sd2').configs.vae).toMatchObject({ block_out_channels: [4, 4, 8, 8], layers_per_block: 2, latent_channels: 4 })
  expect(kind('sd2-upscale')).toMatchObject({
    prediction: 'v_prediction',
    predictionKnown: true,
    configs: { vae: { scaling_factor: 0.08333 } },
  })
  expect(kind('xl-base')).toMatchObject({ prediction: 'epsilon', predictionKnown: true })
  expect(kind('xl-base', 'v_pred', 'ztsnr')).toMatchObject({
    prediction: 'v_prediction',
    configs: {
      scheduler: { rescale_betas_zero_snr: true, prediction_type: 'v_prediction' },
      text_encoder_2: { projection_dim: 7 },
    },
  })
})

test('what merged files leave beside a text encoder is no part of it', () => {
  const original = originalOf('sd1')
  const plain = fromSingleFile(original).components.get('text_encoder')
  original.set('cond_stage_model.transformer.text_projection.weight', NdArray.zeros([6, 6]))
  original.set('cond_stage_model.logit_scale', NdArray.zeros([]))
  expect([...(fromSingleFile(original).components.get('text_encoder') ?? [])]).toEqual([...(plain ?? [])])
})

test('a file of another type is refused, and a key without a place is told', () => {
  expect(() => familyOf(new Map([['conv_in.weight', NdArray.zeros([1])]]), 'x.safetensors')).toThrow(SingleFileError)
  const alone = new Map([
    ['model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight', NdArray.zeros([4, 2048])],
  ])
  expect(familyOf(alone)).toBe('xl-base')
  const odd = originalOf('sd1')
    .set('model.diffusion_model.input_blocks.1.0.oddity', NdArray.zeros([1]))
    .set('lora.x', NdArray.zeros([1]))
  const { unknown, components } = fromSingleFile(odd, 'odd.safetensors')
  expect(unknown).toEqual(['model.diffusion_model.input_blocks.1.0.oddity', 'lora.x'])
  expect([...(components.get('unet') ?? [])]).toEqual(
    [...(fromSingleFile(originalOf('sd1')).components.get('unet') ?? [])].map(([key]) => [key, expect.anything()]),
  )
  const unet = new Map([['strange.weight', NdArray.zeros([1])]])
  expect(() => toSingleFile({ family: 'sd1', components: new Map([['unet', unet]]) })).toThrow('unet: strange.weight')
})
