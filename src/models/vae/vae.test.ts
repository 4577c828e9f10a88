import { expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../../tests/fixture.ts'
import { type Described, disagreements, keysOf, relativeDifference, weightsOf } from '../../../tests/networks.ts'
import { matchWeights } from '../../checkpoints/match.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { renameAttention } from '../../nn/spatial-attention.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { evaluate } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { ModelConfigError } from '../config.ts'
import {
  autoencoderKL,
  autoencoderKLConfig,
  autoencoderTiny,
  autoencoderTinyConfig,
  type Coder,
  klDivergence,
  latentStatistics,
  restoreLatents,
  samplePosterior,
  sliced,
  standardizeLatents,
  tiled,
  tilingOf,
  vqModel,
  vqModelConfig,
} from './index.ts'

const diffusers = fixture('vae')
const seed = Number(diffusers.metadata.seed)
const cases: Record<string, Described> = JSON.parse(diffusers.metadata.cases as string)
const published: Record<string, Described> = JSON.parse(diffusers.metadata.published as string)
const classOf = ({ config }: Described) => (config as { _class_name: string })._class_name

/** What each kind of network gives of images and latents, by the fixture's names. */
const kinds: Record<string, (p: Params, config: unknown) => (images: Tensor, latents: Tensor) => Record<string, Tensor>> = {
  AutoencoderKL: (p, config) => {
    const { encode, decode } = autoencoderKL(p, autoencoderKLConfig(config))
    return (images, latents) => {
      const posterior = encode(images)
      return { ...posterior, kl: klDivergence(posterior), decoded: decode(latents) }
    }
  },
  VQModel: (p, config) => {
    const { encode, quantize, decode } = vqModel(p, vqModelConfig(config))
    return (images, latents) => {
      const codes = encode(images)
      const { latents: quantized, indices, loss } = quantize(codes)
      return { codes, quantized, indices, loss: loss.reshape([1]), decoded: decode(latents) }
    }
  },
  AutoencoderTiny: (p, config) => {
    const { encode, decode } = autoencoderTiny(p, autoencoderTinyConfig(config))
    return (images, latents) => ({ codes: encode(images), decoded: decode(latents) })
  },
}

test.each(Object.entries({ ...cases, ...published }))('%s has the keys, shapes and parameters of diffusers', (_, described) => {
  const { config, ...keys } = described
  const p = new Params()
  kinds[classOf(described)]?.(p, config)
  expect(keysOf(p)).toEqual(keys)
})

test('the autoencoder of Stable Diffusion has its published size', () => {
  expect(published['stable-diffusion-v1-5']?.parameters).toBe(83_653_863)
})

test.each(Object.entries(cases))('%s: codes, pictures and gradients agree with diffusers', async (name, described) => {
  const p = new Params()
  const network = kinds[classOf(described)]?.(p, described.config)
  const symbols = new Map(['images', 'latents'].map((key) => [key, input(key, tensorOf(diffusers, `${name}.${key}`).shape)]))
  const outputs = network?.(symbols.get('images') as Tensor, symbols.get('latents') as Tensor) ?? {}
  expect(await disagreements(diffusers, name, { p, symbols, outputs })).toEqual([])
})

test('a codebook gives back, by number, the codes that it chose', async () => {
  const p = new Params()
  const { quantize, lookup } = vqModel(p, vqModelConfig(cases.vq?.config))
  const codes = input('codes', [2, 5, 6, 8])
  const { latents, indices } = quantize(codes)
  const weights = weightsOf(p, seed)
  const found = await evaluate(
    { outputs: { latents, again: lookup(indices) }, weights },
    { codes: tensorOf(diffusers, 'vq.codes') },
  )
  expect(maxDifference(found.latents as NdArray, found.again as NdArray)).toBeLessThan(1e-6)
})

/** The small KL autoencoder, coding host arrays; `shapes` gathers what it was given. */
function smallCoders() {
  const shapes: string[] = []
  const config = autoencoderKLConfig(cases.kl?.config)
  const coder =
    (part: 'mean' | 'logVariance' | 'decoded'): Coder =>
    async (x) => {
      shapes.push(x.shape.join('×'))
      const p = new Params()
      const { encode, decode } = autoencoderKL(p, config)
      const symbol = input('x', x.shape)
      const y = part === 'decoded' ? decode(symbol) : encode(symbol)[part]
      const { y: found } = await evaluate({ outputs: { y }, weights: weightsOf(p, seed) }, { x }, { threads: 1 })
      return found as NdArray<'f32'>
    }
  return { coder, config, shapes }
}

test('tiles are cut and blended as diffusers cuts and blends them', async () => {
  const { coder, config, shapes } = smallCoders()
  const { encode, decode } = tilingOf(config)
  for (const part of ['mean', 'logVariance'] as const) {
    const found = await tiled(tensorOf(diffusers, 'tiled.images'), coder(part), encode)
    expect(relativeDifference(found, tensorOf(diffusers, `tiled.${part}`))).toBeLessThan(1e-4)
  }
  expect(new Set(shapes)).toEqual(new Set(['1×3×16×16', '1×3×16×12', '1×3×10×16', '1×3×10×12']))
  const decoded = await tiled(tensorOf(diffusers, 'tiled.latents'), coder('decoded'), decode)
  expect(relativeDifference(decoded, tensorOf(diffusers, 'tiled.decoded'))).toBeLessThan(1e-4)
})

test('what fits into one tile is coded whole; a batch is coded in slices to the same values', async () => {
  const { coder, config, shapes } = smallCoders()
  const decode = coder('decoded')
  const latents = new Generator(5).randn([2, 4, 8, 7])
  const whole = await tiled(latents, decode, tilingOf(config).decode)
  expect(shapes).toEqual(['2×4×8×7'])
  const apart = await sliced(latents, decode)
  expect(shapes.slice(1)).toEqual(['1×4×8×7', '1×4×8×7'])
  expect(maxDifference(whole, apart)).toBeLessThan(1e-6)
  await expect(tiled(latents, decode, { from: 1, to: 2, overlap: 0.25 })).rejects.toThrow('move on by 0')
  await expect(tiled(latents, decode, { from: 5, to: 10, overlap: 0.25 })).rejects.toThrow('8 are kept')
})

test('blended tiles of a coder that copies are the picture', async () => {
  const x = new Generator(6).randn([1, 2, 13, 9])
  for (const from of [4, 8, 12]) {
    expect(maxDifference(await tiled(x, async (tile) => tile, { from, to: from, overlap: 0.25 }), x)).toBeLessThan(1e-6)
  }
})

test('checkpoints with the older names of the attention load', () => {
  const p = new Params()
  autoencoderKL(p, autoencoderKLConfig(cases.kl?.config))
  const weights = weightsOf(p, seed)
  const names = { to_q: 'query', to_k: 'key', to_v: 'value', 'to_out.0': 'proj_attn' }
  const older = new Map(
    [...weights].map(([key, value]) => [
      Object.entries(names).reduce((name, [now, then]) => name.replace(`.attentions.0.${now}.`, `.attentions.0.${then}.`), key),
      value,
    ]),
  )
  expect([...older.keys()].filter((key) => key.includes('proj_attn'))).toHaveLength(4)
  const matched = matchWeights(p.tensors, older, { place: 'vae', rename: renameAttention })
  expect([...matched].every(([key, value]) => weights.get(key) === value)).toBe(true)
})

test('latents are scaled by the config, there and back', async () => {
  const sd3 = { latent_channels: 2, scaling_factor: 1.5305, shift_factor: 0.0609 }
  const xl = { latent_channels: 2, scaling_factor: 0.13025, shift_factor: 3, latents_mean: [0.5, -1], latents_std: [2, 4] }
  expect(latentStatistics({ latent_channels: 2, scaling_factor: 0.5 })).toEqual({ mean: [0, 0], std: [2, 2] })
  expect(latentStatistics(xl)).toEqual({ mean: [0.5, -1], std: [2 / 0.13025, 4 / 0.13025] })
  const z = new Generator(7).randn([1, 2, 3, 3])
  const symbol = input('z', z.shape)
  const outputs = { seen: standardizeLatents(symbol, sd3), back: restoreLatents(standardizeLatents(symbol, xl), xl) }
  const { seen, back } = await evaluate(outputs, { z })
  expect(maxDifference(seen as NdArray, z.sub(0.0609).mul(1.5305))).toBeLessThan(1e-6)
  expect(maxDifference(back as NdArray, z)).toBeLessThan(1e-5)
})

test('a posterior is sampled about its mean', async () => {
  const [mean, logVariance, noise] = ['mean', 'logVariance', 'noise'].map((key) => input(key, [1, 1, 1, 2])) as [
    Tensor,
    Tensor,
    Tensor,
  ]
  const values = { mean: [1, -2], logVariance: [0, Math.log(4)], noise: [0.5, -1] }
  const feeds = Object.fromEntries(
    Object.entries(values).map(([key, list]) => [key, new Generator(0).randn([1, 1, 1, 2]).map((_, i) => list[i] as number)]),
  )
  const { z } = await evaluate({ z: samplePosterior({ mean, logVariance }, noise) }, feeds)
  expect([...(z as NdArray<'f32'>).data]).toEqual([1.5, -4])
})

test('configs are refused with every fault', () => {
  const faults = (make: () => unknown) => {
    try {
      make()
    } catch (error) {
      expect(error).toBeInstanceOf(ModelConfigError)
      return (error as ModelConfigError).faults.map(({ field }) => field)
    }
    return []
  }
  const kl = { block_out_channels: [8, 8], latents_mean: [1], up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'] }
  expect(faults(() => autoencoderKLConfig(kl))).toEqual(['down_block_types', 'latents_std', 'latents_mean'])
  expect(faults(() => vqModelConfig({ norm_type: 'layer', codes: 4 }))).toEqual(['codes', 'norm_type'])
  expect(faults(() => autoencoderTinyConfig({ num_encoder_blocks: [1], decoder_block_out_channels: [8, 8, 16, 8] }))).toEqual([
    'encoder_block_out_channels',
    'decoder_block_out_channels',
  ])
  expect(faults(() => autoencoderTinyConfig({ _class_name: 'AutoencoderTiny', block_out_channels: [64, 64, 64, 64] }))).toEqual(
    [],
  )
  const { decode } = autoencoderKL(new Params(), autoencoderKLConfig(cases.kl?.config))
  expect(() => decode(input('latents', [1, 16, 8, 8]))).toThrow('expected C = 4')
})
