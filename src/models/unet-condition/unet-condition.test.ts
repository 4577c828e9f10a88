import { expect, test } from 'vitest'
import { fixture } from '../../../tests/fixture.ts'
import { type Described, disagreements, givenTo, keysOf } from '../../../tests/networks.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { ModelConfigError } from '../config.ts'
import { unet2dCondition, unet2dConditionConfig } from './index.ts'

const diffusers = fixture('unet_condition')
const cases: Record<string, Described> = JSON.parse(diffusers.metadata.cases as string)
const published: Record<string, Described> = JSON.parse(diffusers.metadata.published as string)

test.each(Object.entries({ ...cases, ...published }))('%s has the keys, shapes and parameters of diffusers', (_, described) => {
  const { config, ...keys } = described
  const p = new Params()
  unet2dCondition(p, unet2dConditionConfig(config))
  expect(keysOf(p)).toEqual(keys)
})

test('Stable Diffusion 1.5, 2.1 and XL have their published sizes', () => {
  const sizes = ['stable-diffusion-v1-5', 'stable-diffusion-2-1', 'stable-diffusion-xl-base-1.0'].map(
    (name) => published[name]?.parameters,
  )
  expect(sizes).toEqual([859_520_964, 865_910_724, 2_567_463_684])
})

test.each(Object.entries(cases))('%s: output and gradients agree with diffusers', async (name, described) => {
  const p = new Params()
  const network = unet2dCondition(p, unet2dConditionConfig(described.config))
  const given = givenTo(diffusers, name, /^output$/)
  const symbols = new Map([...given].map(([key, { shape, dtype }]) => [key, input(key, shape, dtype)]))
  const listed = (key: string) => {
    const found = [...symbols].filter(([at]) => at.startsWith(`${key}.`)).sort(([a], [b]) => (a < b ? -1 : 1))
    return found.length > 0 ? found.map(([, x]) => x) : undefined
  }
  const { sample, timestep, context, ...extras } = Object.fromEntries(symbols) as Record<string, Tensor>
  const single = Object.fromEntries(Object.entries(extras).filter(([key]) => !key.includes('.')))
  const output = network(sample as Tensor, timestep as Tensor, context as Tensor, {
    ...single,
    downResiduals: listed('downResiduals'),
    adapterFeatures: listed('adapterFeatures'),
  })

  expect(await disagreements(diffusers, name, { p, symbols, outputs: { output } })).toEqual([])
})

const small = {
  block_out_channels: [4, 4],
  norm_num_groups: 2,
  layers_per_block: 1,
  cross_attention_dim: 6,
  attention_head_dim: 2,
  down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
}

test('a config is refused with every fault, and with what is known', () => {
  const faults = (fields: object) => {
    try {
      return unet2dConditionConfig(fields)
    } catch (error) {
      expect(error).toBeInstanceOf(ModelConfigError)
      return Object.fromEntries((error as ModelConfigError).faults.map(({ field, message }) => [field, message]))
    }
  }
  expect(Object.keys(faults({ ...small, _class_name: 'UNet2DModel', attention_type: 'gated', heads: 3 }) ?? {})).toEqual([
    '_class_name',
    'heads',
    'attention_type',
  ])
  expect(faults({ ...small, down_block_types: ['KUpBlock2D', 'DownBlock2D'] })).toEqual({
    'down_block_types.0': expect.stringContaining('SimpleCrossAttnDownBlock2D'),
  })
  expect(faults({ ...small, attention_head_dim: [1, 2, 4], up_block_types: ['UpBlock2D'] })).toEqual({
    attention_head_dim: 'has 3 entries, block_out_channels has 2',
    up_block_types: 'has 1 entries, block_out_channels has 2',
  })
  expect(faults({ ...small, addition_embed_type: 'text_time', encoder_hid_dim_type: 'text_proj' })).toEqual({
    encoder_hid_dim: 'encoder_hid_dim_type "text_proj" needs it',
    addition_time_embed_dim: 'addition_embed_type "text_time" needs it',
    projection_class_embeddings_input_dim: 'addition_embed_type "text_time" needs it',
  })
  expect(faults({ ...small, norm_num_groups: null })).toEqual({
    norm_num_groups: 'is null, which is for networks of K blocks alone',
  })
  expect(faults({ ...small, transformer_layers_per_block: [[1], [1]] })).toHaveProperty('reverse_transformer_layers_per_block')
  const plain = unet2dConditionConfig(small)
  expect(faults({ ...small, _class_name: 'UNet2DConditionModel', _diffusers_version: '0.6.0', upcast_attention: false })).toEqual(
    plain,
  )
})

test('num_attention_heads is the number of heads where it is given', () => {
  const named = (fields: object) => {
    const p = new Params()
    unet2dCondition(p, unet2dConditionConfig({ ...small, block_out_channels: [6, 6], ...fields }))
    return p.tensors.get('mid_block.attentions.0.proj_in.weight')?.shape
  }
  // Four heads of one channel each fit into six channels, three heads fill them.
  expect([named({ attention_head_dim: 4 }), named({ attention_head_dim: 4, num_attention_heads: 3 })]).toEqual([
    [4, 6, 1, 1],
    [6, 6, 1, 1],
  ])
})

test('a call that does not fit the network says what would', () => {
  const [sample, timestep, context] = [input('sample', [2, 4, 8, 8]), input('timestep', [2]), input('context', [2, 3, 6])]
  const network = unet2dCondition(new Params(), unet2dConditionConfig(small))
  expect(network(sample, timestep, context).shape).toEqual([2, 4, 8, 8])
  expect(() => network(input('sample', [2, 9, 8, 8]), timestep, context)).toThrow('expected C = 4')
  expect(() => network(sample, timestep, input('context', [1, 3, 6]))).toThrow('expected B = 2')
  expect(() => network(sample, timestep, input('context', [2, 3, 5]))).toThrow('attn2.to_k.weight')
  expect(() => network(sample, timestep, context, { textEmbeds: input('t', [2, 4]) })).toThrow('addition_embed_type')
  expect(() => network(sample, timestep, context, { timestepCondition: input('w', [2, 4]) })).toThrow('cond_proj')
  expect(() => network(sample, timestep, context, { classLabels: input('labels', [2], 'i64') })).toThrow('class_embed_type')
  const residual = input('residual', [2, 4, 4, 4])
  expect(() => network(sample, timestep, context, { midResidual: residual })).toThrow('got none and one')
  expect(() => network(sample, timestep, context, { midResidual: residual, downResiduals: [residual] })).toThrow(
    '4 and one; got 1',
  )
  const features = [input('f0', [2, 4, 8, 8]), residual, input('f2', [2, 4, 2, 2])]
  expect(() => network(sample, timestep, context, { adapterFeatures: features })).toThrow('takes one of [2, 4, 4, 4]')
  const xl = unet2dConditionConfig({
    ...small,
    addition_embed_type: 'text_time',
    addition_time_embed_dim: 2,
    projection_class_embeddings_input_dim: 16,
  })
  expect(() => unet2dCondition(new Params(), xl)(sample, timestep, context)).toThrow('the network needs textEmbeds')
})
