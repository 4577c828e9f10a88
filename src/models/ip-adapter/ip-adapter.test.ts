import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../../tests/fixture.ts'
import { type Described, keysOf, relativeDifference, weightsOf } from '../../../tests/networks.ts'
import { constant, input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import type { ImagePrompt } from '../../nn/transformer.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { evaluate } from '../../runtime/program.ts'
import { ModelConfigError } from '../config.ts'
import { unet2dCondition, unet2dConditionConfig } from '../unet-condition/index.ts'
import { imagePromptProjection, imagePromptWeights, readIpAdapter } from './index.ts'

const diffusers = fixture('ip_adapter')
interface Case extends Described {
  readonly adapters: readonly { readonly kind: string; readonly scale: number }[]
}
const cases: Record<string, Case> = JSON.parse(diffusers.metadata.cases as string)

/** The tensors of an adapter's file. */
function fileOf(name: string, i: number): Map<string, NdArray> {
  const start = `${name}.adapter ${i} `
  return new Map(
    [...diffusers.tensors].flatMap(([key, value]) => (key.startsWith(start) ? [[key.slice(start.length), value]] : [])),
  )
}

test.each(Object.entries(cases))('%s: tokens, and the U-Net that sees them, agree with diffusers', async (name, one) => {
  const value = (key: string) => tensorOf(diffusers, `${name}.${key}`)
  const adapters = one.adapters.map((_, i) => readIpAdapter(fileOf(name, i), `adapter ${i}`))
  expect(adapters.map(({ config }) => config.kind)).toEqual(one.adapters.map(({ kind }) => kind))
  const feeds: Record<string, NdArray> = {}
  const weights = new Map<string, NdArray>()
  const outputs: Record<string, Tensor> = {}
  const fed = (key: string) => {
    feeds[key] = value(key)
    return input(key, value(key).shape)
  }
  const imagePrompts = adapters.map(({ config, projection }, i): ImagePrompt => {
    const p = new Params()
    const tokens = imagePromptProjection(p.at(`adapter${i}`), config)(fed(`embeds ${i}`))
    expect([...p.tensors.keys()].sort()).toEqual([...projection.keys()].map((key) => `adapter${i}.${key}`).sort())
    for (const [key, tensor] of projection) weights.set(`adapter${i}.${key}`, tensor as NdArray)
    outputs[`tokens ${i}`] = tokens
    const scale = (one.adapters[i] as Case['adapters'][number]).scale
    return { tokens, scale: i === 0 ? scale : constant([scale], [1]) }
  })
  const p = new Params()
  const config = unet2dConditionConfig(one.config)
  const network = unet2dCondition(p, config)
  const { config: _, adapters: __, ...keys } = one
  expect(keysOf(p)).toEqual(keys)
  for (const [key, tensor] of weightsOf(p, Number(diffusers.metadata.seed))) weights.set(key, tensor)
  for (const [key, tensor] of imagePromptWeights(p.tensors.keys(), adapters)) weights.set(key, tensor as NdArray)
  const given = { imagePrompts, ...(config.addition_embed_type && { textEmbeds: fed('textEmbeds'), timeIds: fed('timeIds') }) }
  outputs.output = network(fed('sample'), fed('timestep'), fed('context'), given)
  // Every key that the adapters bring is one that the network has declared.
  expect([...p.tensors.keys()].filter((key) => !weights.has(key))).toEqual([])
  expect(p.tensors.size).toBe(keys.keys + 2 * adapters.reduce((n, { attention }) => n + attention.length, 0))

  const found = await evaluate({ outputs, weights }, feeds, { threads: 1 })
  const errors = Object.keys(outputs).map((key) => [key, relativeDifference(found[key], value(key))] as const)
  expect(errors.filter(([, error]) => !(error <= 1e-4))).toEqual([])
})

test('a file that is no adapter for this network is refused', () => {
  const file = fileOf('plain', 0)
  const refused = (change: (copy: Map<string, NdArray>) => void) => {
    const copy = new Map(file)
    change(copy)
    return () => readIpAdapter(copy, 'a.safetensors')
  }
  const any = NdArray.zeros([2, 2])
  expect(refused((copy) => copy.set('ip_adapter.0.to_q_lora.down.weight', any))).toThrow('a.safetensors')
  expect(refused((copy) => copy.set('ip_adapter.0.to_q_lora.down.weight', any))).toThrow('FaceID')
  expect(refused((copy) => copy.delete('ip_adapter.1.to_v_ip.weight'))).toThrow('ip_adapter.1: has no to_v_ip')
  expect(refused((copy) => copy.delete('image_proj.norm.weight'))).toThrow('plain, plus or full face')
  expect(() => readIpAdapter(new Map([['conv_in.weight', any]]), 'unet.safetensors')).toThrow(ModelConfigError)
  const adapter = readIpAdapter(file, 'a.safetensors')
  const keys = ['mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight']
  expect(() => imagePromptWeights(keys, [adapter], 'a.safetensors')).toThrow('this U-Net has 1')
})

test('attentions are counted down, up, middle, and by number', () => {
  const file = fileOf('xl', 0)
  const adapter = readIpAdapter(file, 'xl')
  const at = (path: string) => `${path}.attn2.to_k.weight`
  const paths = [...Array(adapter.attention.length - 2).keys()].map((i) => `down_blocks.1.attentions.0.transformer_blocks.${i}`)
  const shuffled = [
    'mid_block.attentions.0.transformer_blocks.0',
    'up_blocks.0.attentions.0.transformer_blocks.0',
    ...paths.reverse(),
  ]
  const weights = imagePromptWeights(shuffled.map(at), [adapter])
  const order = [...weights].filter(([key]) => key.includes('to_k_ip')).map(([key]) => key.replace(/\.attn2.*/, ''))
  expect(order).toEqual([...paths.reverse(), shuffled[1], shuffled[0]])
})
