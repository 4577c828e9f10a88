import { join } from 'node:path'
import { loadConfig, openWeights } from '../../checkpoints/folder.ts'
import { input } from '../../core/tensor.ts'
import { type MmditConfig, mmditConfig, mmditTransformer } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/index.ts'
import { cacheFolder } from '../../runtime/node/cache.ts'
import { Generator } from '../../runtime/random.ts'
import { runsOf, type Subject, writeSubject } from './forms.ts'
import type { Form } from './sd-unet.ts'

/** Stable Diffusion 3 medium's transformer: 2,028,328,000 parameters, 24 blocks. */
export const medium = {
  ...{ num_layers: 24, num_attention_heads: 24, attention_head_dim: 64, caption_projection_dim: 1536, pos_embed_max_size: 192 },
  ...{ joint_attention_dim: 4096, pooled_projection_dim: 2048, in_channels: 16, out_channels: 16, sample_size: 128 },
}

/** A guided step: latents a side, and tokens of CLIP and T5. */
export interface StepSize {
  readonly latents: number
  readonly tokens: number
}
const picture512: StepSize = { latents: 64, tokens: 77 + 256 }

function build(config: MmditConfig, { latents, tokens }: StepSize) {
  const params = new Params()
  const output = mmditTransformer(params, config)(input('x', [2, config.in_channels, latents, latents]), input('t', [2]), {
    context: input('context', [2, tokens, config.joint_attention_dim]),
    pooled: input('pooled', [2, config.pooled_projection_dim]),
  })
  return { params, output }
}

function feeds(config: MmditConfig, { latents, tokens }: StepSize) {
  const generator = new Generator(0)
  return {
    x: generator.randn([2, config.in_channels, latents, latents]),
    t: NdArray.full([2], 500),
    context: generator.randn([2, tokens, config.joint_attention_dim]),
    pooled: generator.randn([2, config.pooled_projection_dim]),
  }
}

const subjectOf = (config: MmditConfig, size: StepSize): Subject => ({
  fields: { _class_name: 'SD3Transformer2DModel', ...config },
  weights: () => build(config, size).params.initialise(new Generator(0)),
  computation: (dir) => ({ outputs: { output: build(configIn(dir), size).output }, weights: openWeights(dir) }),
  feeds: feeds(config, size),
})
const configIn = (dir: string) => mmditConfig(loadConfig(dir), dir)

/**
 * The folder of a checkpoint with random weights in float16, as the published one: 4.1 GB, written once and kept in the cache, with
 * the ranges that int8 needs. `LANGEVIN_BENCH_LAYERS` makes one of fewer blocks, for machines with less memory or time.
 */
export async function sd3Checkpoint(layers = Number(process.env.LANGEVIN_BENCH_LAYERS) || medium.num_layers): Promise<string> {
  const dir = join(cacheFolder('bench'), `stable-diffusion-3-transformer-${layers}`)
  return writeCheckpoint(dir, mmditConfig({ ...medium, num_layers: layers }), picture512)
}

export const writeCheckpoint = (dir: string, config: MmditConfig, size: StepSize): Promise<string> =>
  writeSubject(dir, subjectOf(config, size))

/** A run is a step; the first run opens the checkpoint too. */
export const sd3Step = (dir: string, form: Form, size = picture512) => runsOf(dir, form, subjectOf(configIn(dir), size))
