import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, matchWeights, openWeights, saveConfig, saveModel, writeModelIndex } from '../../../checkpoints/index.ts'
import type { Tensor } from '../../../core/tensor.ts'
import { type EfficientUNetConfig, efficientUnet, efficientUnetConfig } from '../../../models/efficient-unet/index.ts'
import { type T5Config, t5Config, t5Encoder, t5EncoderWeights } from '../../../models/t5/index.ts'
import { type UNet2DConditionConfig, unet2dCondition, unet2dConditionConfig } from '../../../models/unet-condition/index.ts'
import { Params } from '../../../nn/params.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { T5Tokenizer } from '../../../text/index.ts'
import { inMemory } from '../../stored.ts'
import { saveT5Encoder, storedT5 } from '../text-to-image/pipeline-folder.ts'
import type { StyleReferences } from './references.ts'
import type { Imagen } from './schema.ts'

/** A T5 that does not learn, with its tokenizer. */
export interface FrozenText {
  readonly dir: string
  /** Whether the folder is a T5's, decoder and all, and not a pipeline's. */
  readonly whole: boolean
  readonly config: T5Config
  readonly weights: ReadonlyMap<string, NdArray>
  readonly tokenizer: T5Tokenizer
}

/** From a pipeline's folder with `text_encoder/` and `tokenizer/`, or a whole T5's. */
export function frozenText(dir: string): FrozenText {
  const own = join(dir, 'text_encoder')
  if (!existsSync(own) && existsSync(join(dir, 'tokenizer.json'))) {
    const { config, weights, tokenizer } = storedT5(dir)
    return { dir, whole: true, config, weights: inMemory(weights), tokenizer }
  }
  const place = own
  const config = t5Config(loadConfig(place), join(place, 'config.json'))
  const p = new Params()
  t5Encoder(p, config)
  const weights = inMemory(matchWeights(p.tensors, t5EncoderWeights(openWeights(place)), { place }))
  return { dir, whole: false, config, weights, tokenizer: T5Tokenizer.open(join(dir, 'tokenizer')) }
}

/** The network of a stage: what it is called with, and the config that its folder has. */
export interface StageNetwork {
  readonly className: 'UNet2DConditionModel' | 'EfficientUNet'
  readonly config: UNet2DConditionConfig | EfficientUNetConfig
  /** Channels that it gives; the first three count. */
  readonly outputs: number
  build(p: Params): (sample: Tensor, timestep: Tensor, context: Tensor, extras: { readonly classLabels?: Tensor }) => Tensor
}

/** Text attended to together with the pixels, pooled into the time, and normed: as DeepFloyd's U-Nets have Imagen's first stage. */
const simple = (levels: number) => ({
  down_block_types: ['ResnetDownsampleBlock2D', ...Array<string>(levels - 1).fill('SimpleCrossAttnDownBlock2D')],
  mid_block_type: 'UNetMidBlock2DSimpleCrossAttn',
  up_block_types: [...Array<string>(levels - 1).fill('SimpleCrossAttnUpBlock2D'), 'ResnetUpsampleBlock2D'],
  cross_attention_norm: 'group_norm',
  addition_embed_type: 'text',
  resnet_time_scale_shift: 'scale_shift',
  act_fn: 'gelu',
})

export function stageNetwork({ unet, resolution, low_resolution: low, augmentation }: Imagen, text: T5Config): StageNetwork {
  const { _class_name: className, ...fields } = unet
  const seen = low === undefined ? 3 : 6
  const level = low !== undefined && augmentation.kind === 'noise' ? 'timestep' : null
  const shared = { encoder_hid_dim: text.d_model, class_embed_type: level, sample_size: resolution, in_channels: seen }
  if (className === 'EfficientUNet') {
    const config = efficientUnetConfig({ ...fields, ...shared, out_channels: 3 }, 'unet')
    return {
      className,
      config,
      outputs: 3,
      build: (p) => (x, t, context, extras) => efficientUnet(p, config)(x, t, context, extras),
    }
  }
  const levels = Array.isArray(fields.block_out_channels) ? fields.block_out_channels.length : 4
  // diffusers' pipelines want variances, and drop them by the scheduler's variance_type: those channels learn nothing.
  const config = unet2dConditionConfig({ ...simple(levels), ...fields, ...shared, out_channels: 6 }, 'unet')
  return { className, config, outputs: 6, build: (p) => unet2dCondition(p, config) }
}

/** A stage as a folder that `langevin generate` opens, and diffusers too where its network is diffusers'; weights as float16. */
export function saveStage(
  dir: string,
  {
    network,
    weights,
    text,
    recipe,
    references,
  }: {
    network: StageNetwork
    weights: ReadonlyMap<string, NdArray>
    text: FrozenText
    recipe: Imagen
    references: StyleReferences | undefined
  },
): void {
  const { className, config } = network
  const enlarges = recipe.low_resolution !== undefined
  const pipeline = enlarges
    ? className === 'EfficientUNet'
      ? 'ImagenSuperResolutionPipeline'
      : 'IFSuperResolutionPipeline'
    : className === 'EfficientUNet'
      ? 'ImagenPipeline'
      : 'IFPipeline'
  const own = references?.apart(weights)
  saveModel(join(dir, 'unet'), { _class_name: className, ...config }, own?.unet ?? weights, { dtype: 'f16' })
  if (references && own)
    saveModel(join(dir, 'reference_encoder'), { _class_name: 'ReferenceEncoder', ...references.config }, own.encoder, {
      dtype: 'f16',
    })
  if (text.whole) saveT5Encoder(dir, { ...text, folder: text.dir })
  else for (const part of ['text_encoder', 'tokenizer']) cpSync(join(text.dir, part), join(dir, part), { recursive: true })
  const levels = { num_train_timesteps: recipe.scheduler.num_train_timesteps, beta_schedule: 'squaredcos_cap_v2' }
  const scheduler = {
    ...{ _class_name: 'DDPMScheduler', ...levels, prediction_type: recipe.scheduler.prediction_type },
    ...{ variance_type: 'fixed_small', timestep_spacing: 'trailing', clip_sample: true },
    // Dynamic thresholds, which diffusers limits to 1 unless told (Saharia et al. 2022, section 2.3).
    ...{ thresholding: true, dynamic_thresholding_ratio: 0.995, sample_max_value: 100 },
  }
  saveConfig(join(dir, 'scheduler'), scheduler, 'scheduler_config.json')
  if (enlarges)
    saveConfig(join(dir, 'image_noising_scheduler'), { _class_name: 'DDPMScheduler', ...levels }, 'scheduler_config.json')
  const part = (library: string, name: string) => ({ library, className: name })
  const noising = enlarges ? [['image_noising_scheduler', part('diffusers', 'DDPMScheduler')] as const] : []
  writeModelIndex(dir, {
    _class_name: references ? 'Imagen2Pipeline' : pipeline,
    components: new Map([
      ['unet', part('diffusers', className)],
      ['text_encoder', part('transformers', 'T5EncoderModel')],
      ['tokenizer', part('transformers', 'T5Tokenizer')],
      ['scheduler', part('diffusers', 'DDPMScheduler')],
      ...noising,
      ...(references ? [['reference_encoder', part('langevin', 'ReferenceEncoder')] as const] : []),
      ...['safety_checker', 'feature_extractor', 'watermarker'].map((name) => [name, null] as const),
    ]),
    options: { requires_safety_checker: false, ...(recipe.tokens !== 77 && { max_length: recipe.tokens }) },
  })
}
