import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../../tests/fixture.ts'
import { type Described, disagreements, keysOf } from '../../../tests/networks.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { unet2d, unet2dConfig } from '../unet/index.ts'
import { unet2dCondition, unet2dConditionConfig } from '../unet-condition/index.ts'
import { vqModel, vqModelConfig } from '../vae/index.ts'
import { priorConfig, priorTransformer, unclipTextConfig, unclipTextProjection } from './index.ts'

const diffusers = fixture('unclip')
const cases: Record<string, Described> = JSON.parse(diffusers.metadata.cases as string)
const published: Record<string, Described> = JSON.parse(diffusers.metadata.published as string)

type Build = (p: Params, config: unknown) => (given: (key: string) => Tensor) => Record<string, Tensor>
const networks: Readonly<Record<string, Build>> = {
  PriorTransformer: (p, config) => {
    const { predict, restore } = priorTransformer(p, priorConfig(config))
    return (given) => {
      const conditions = { textEmbeds: given('text'), context: given('context'), contextMask: given('mask') }
      const made = predict(given('sample'), given('timestep'), conditions)
      return { made, restored: restore(made) }
    }
  },
  UnCLIPTextProjModel: (p, config) => {
    const { project, unconditional } = unclipTextProjection(p, unclipTextConfig(config))
    return (given) => {
      const D = unconditional.shape[1] as number
      const image = given('image')
        .padAxis(0, 1, 0)
        .add(unconditional.padAxis(0, 0, 1))
      const { context, time } = project(image.reshape([2, D]), given('text'), given('context'))
      return { states: context, time }
    }
  },
  VQModel: (p, config) => {
    const { encode, decode } = vqModel(p, vqModelConfig(config))
    return (given) => ({ encoded: encode(given('image')), decoded: decode(given('latents')) })
  },
  UNet2DConditionModel: (p, config) => {
    const network = unet2dCondition(p, unet2dConditionConfig(config))
    return (given) => {
      const imageEmbeds = given('embeds')
      const extras = { imageEmbeds, hint: given('hint') }
      return { made: network(given('sample'), given('timestep'), imageEmbeds.unsqueeze(1), extras) }
    }
  },
  UNet2DModel: (p, config) => {
    unet2d(p, unet2dConfig(config))
    return () => ({})
  },
}
const networkOf = ({ config }: Described) => networks[(config as { _class_name: string })._class_name] as Build

test.each(Object.entries({ ...cases, ...published }))('%s has the keys, shapes and parameters of diffusers', (_, one) => {
  const { config, ...keys } = one
  const p = new Params()
  networkOf(one)(p, config)
  expect(keysOf(p)).toEqual(keys)
})

test.each(Object.entries(cases))('%s: outputs and gradients agree with diffusers', async (name, one) => {
  const p = new Params()
  const symbols = new Map<string, Tensor>()
  const outputs = networkOf(one)(p, one.config)((key) => {
    const symbol = symbols.get(key) ?? input(key, tensorOf(diffusers, `${name}.${key}`).shape)
    symbols.set(key, symbol)
    return symbol
  })
  expect(await disagreements(diffusers, name, { p, symbols, outputs })).toEqual([])
})

test('what cannot be followed is named', () => {
  expect(() => priorConfig({ added_emb_type: null }, 'x')).toThrow('added_emb_type')
  expect(() => priorConfig({ additional_embeddings: 3 }, 'x')).toThrow('additional_embeddings')
  expect(() => unclipTextConfig({ cross_attention_dim: 8 }, 'x')).toThrow('time_embed_dim')
  expect(() => vqModelConfig({ norm_type: 'spatial', latent_channels: 4, vq_embed_dim: 3 }, 'x')).toThrow('vq_embed_dim: is 3')
})
