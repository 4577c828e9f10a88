import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { errorOf, temporaryFolder } from '../../tests/checkpoints.ts'
import { controlNetConfig, t2iAdapterConfig } from '../models/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { fromComponentFile } from './component-files.ts'
import { openSafetensors, readTensor, writeSafetensors } from './safetensors.ts'
import { fromSingleFile, SingleFileError } from './single-file.ts'
import { kindOf } from './single-file-configs.ts'

interface Case {
  readonly original: Record<string, number[]>
  readonly converted?: Record<string, [number[], number]>
  readonly keys?: Record<string, number[]>
  readonly config: Record<string, unknown>
}
const { cases }: { cases: Record<string, Case> } = JSON.parse(
  readFileSync(new URL('../../parity/fixtures/component_files.json', import.meta.url), 'utf8'),
)
const originals: Record<string, { original: Record<string, number[]>; components: Record<string, Record<string, [number[]]>> }> =
  JSON.parse(readFileSync(new URL('../../parity/fixtures/single_file.json', import.meta.url), 'utf8')).cases

/** Every tensor begins with its own number. */
const filled = (shapes: Record<string, readonly number[]>) =>
  new Map(Object.entries(shapes).map(([key, shape], i) => [key, NdArray.full(shape, i)]))
const first = (value: Parameters<typeof readTensor>[0]) => Number(readTensor(value).data[0])

describe.each(['controlnet-sd1', 'controlnet-sd2'])('%s', (name) => {
  const { original, converted, config } = cases[name] as Required<Case>

  test('keys and config as diffusers converts them, with the prefix and without, and copies nothing', () => {
    const file = join(temporaryFolder(), 'a.safetensors')
    writeSafetensors(file, filled(original))
    const bare = Object.fromEntries(Object.entries(original).map(([key, shape]) => [key.replace('control_model.', ''), shape]))
    for (const weights of [openSafetensors(file).tensors, filled(bare)]) {
      const found = fromComponentFile(weights, { place: 'x' })
      expect(found).toMatchObject({ className: 'ControlNetModel', unknown: [] })
      expect(Object.fromEntries([...found.weights].map(([key, value]) => [key, [[...value.shape], first(value)]]))).toEqual(
        converted,
      )
      const got = controlNetConfig(found.config)
      const free = ['attention_head_dim', 'norm_num_groups']
      for (const [key, value] of Object.entries(controlNetConfig({ ...config }))) {
        if (!free.includes(key)) expect(got[key as keyof typeof got], key).toEqual(value)
      }
    }
    const inFile = fromComponentFile(openSafetensors(file).tensors).weights
    expect([...inFile.values()].every((value) => 'file' in value)).toBe(true)
  })

  test("a file with diffusers' keys", () => {
    const shapes = Object.fromEntries(Object.entries(converted).map(([key, [shape]]) => [key, shape]))
    expect([...fromComponentFile(filled(shapes)).weights.keys()]).toEqual(Object.keys(shapes))
  })
})

test.each(['adapter', 'adapter-xl'])('%s: keys and config', (name) => {
  const { original, keys, config } = cases[name] as Required<Case>
  for (const shapes of [original, keys]) {
    const { className, weights, config: found, unknown } = fromComponentFile(filled(shapes))
    expect({ className, unknown }).toEqual({ className: 'T2IAdapter', unknown: [] })
    expect(Object.fromEntries([...weights].map(([key, { shape }]) => [key, [...shape]]))).toEqual(keys)
    expect(t2iAdapterConfig(found)).toEqual(t2iAdapterConfig(config))
  }
})

test('an autoencoder without prefix, with one, in a whole checkpoint, with diffusers’ keys, and with another’s scale', () => {
  const { original, components } = originals.sd1 as (typeof originals)[string]
  const expected = Object.fromEntries(
    Object.entries(components.vae as Record<string, [number[]]>).map(([key, [shape]]) => [key, shape]),
  )
  const prefix = 'first_stage_model.'
  const own = Object.entries(original).filter(([key]) => key.startsWith(prefix))
  const bare = Object.fromEntries(own.map(([key, shape]) => [key.slice(prefix.length), shape]))
  for (const shapes of [original, Object.fromEntries(own), bare, expected]) {
    const { className, config, weights } = fromComponentFile(filled(shapes), { autoencoder: { scaling_factor: 0.13025 } })
    expect(className).toBe('AutoencoderKL')
    expect(config).toMatchObject({ scaling_factor: 0.13025, latent_channels: 4, use_quant_conv: true, use_post_quant_conv: true })
    expect(Object.fromEntries([...weights].map(([key, { shape }]) => [key, [...shape]]))).toEqual(expected)
  }
  const without = Object.fromEntries(Object.entries(bare).filter(([key]) => !key.includes('quant_conv')))
  expect(fromComponentFile(filled(without)).config).toMatchObject({
    scaling_factor: 0.18215,
    use_quant_conv: false,
    use_post_quant_conv: false,
  })
})

test('a file of something else is refused with some of its keys', () => {
  expect(errorOf(() => fromComponentFile(filled({ 'a.b': [1] }), { place: 'x.safetensors' }))).toBeInstanceOf(SingleFileError)
})

describe('whole files', () => {
  const open = (name: string, more: Record<string, NdArray> = {}) => {
    const weights = new Map([...filled((originals[name] as (typeof originals)[string]).original), ...Object.entries(more)])
    return kindOf(fromSingleFile(weights, 'x'), weights)
  }

  test('the refiner takes an empty negative prompt for a text, XL for zeros', () => {
    expect(open('xl-refiner').options).toEqual({ requires_aesthetics_score: true, force_zeros_for_empty_prompt: false })
    expect(open('xl-base').options).toEqual({ requires_aesthetics_score: false, force_zeros_for_empty_prompt: true })
    expect(open('sd1').options).toEqual({ requires_aesthetics_score: false })
  })

  test("Playground 2.5's marks are its formulation and its latents' mean and deviation", () => {
    const vae = filled((originals.sd1 as (typeof originals)[string]).original)
    const coder = [...vae].filter(([key]) => key.startsWith('first_stage_model.'))
    const marks = {
      ...Object.fromEntries(coder),
      edm_mean: NdArray.from([-1.5, 0.5, 0.25, 1], [1, 4, 1, 1]),
      edm_std: NdArray.from([8, 9, 10, 11], [4]),
    }
    const { configs, autoencoder } = open('xl-base', marks)
    expect(configs.scheduler).toEqual({ _class_name: 'EDMDPMSolverMultistepScheduler' })
    expect(configs.vae).toMatchObject({ scaling_factor: 0.5, latents_mean: [-1.5, 0.5, 0.25, 1], latents_std: [8, 9, 10, 11] })
    expect(autoencoder).toEqual({ scaling_factor: 0.5, latents_mean: [-1.5, 0.5, 0.25, 1], latents_std: [8, 9, 10, 11] })
    expect(open('xl-base').configs.scheduler).toMatchObject({ _class_name: 'EulerDiscreteScheduler' })
  })

  test("LCM's embedded guidance has its place, and any other key is told and left", () => {
    const { configs, warnings } = open('sd1', { 'model.diffusion_model.time_embed.cond_proj.weight': NdArray.zeros([4, 256]) })
    expect(warnings).toEqual([])
    expect(configs.unet).toMatchObject({ time_cond_proj_dim: 256 })
    expect(open('sd1').configs.unet).toMatchObject({ time_cond_proj_dim: null })
    expect(open('sd1', { 'lora.x': NdArray.zeros([1]) }).warnings).toEqual(['keys without a place were left: lora.x'])
  })
})
