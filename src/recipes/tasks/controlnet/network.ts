import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { ArgumentError } from '../../../core/errors.ts'
import { input, type Tensor } from '../../../core/tensor.ts'
import {
  betaSchedule,
  GaussianDiffusion,
  type Prediction,
  rescaleZeroTerminalSnr,
  type SchedulerConfig,
} from '../../../diffusion/index.ts'
import {
  type ControlNetConfig,
  controlNet,
  controlNetConfig,
  controlNetSchema,
  controlNetWeights,
} from '../../../models/controlnet/index.ts'
import { type UNet2DConditionConfig, unet2dCondition } from '../../../models/unet-condition/index.ts'
import { Params } from '../../../nn/params.ts'
import { openComponents, type PromptBatchParts, partsOf } from '../../../pipelines/index.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { trainedModel } from '../../stored.ts'
import type { ControlNetRecipe } from './schema.ts'

const sdWidths = [16, 32, 96, 256]

/**
 * The ControlNet of a U-Net: its encoder's fields, and the widths of the hint's encoder, which halves pictures as often as the autoencoder.
 *
 * @throws ArgumentError for widths that do not fit the autoencoder
 */
export function controlConfigOf(unet: UNet2DConditionConfig, factor: number, widths?: readonly number[]): ControlNetConfig {
  const halvings = Math.log2(factor)
  const own = widths ?? sdWidths.slice(0, halvings + 1)
  if (own.length !== halvings + 1)
    throw new ArgumentError(
      `conditioning_embedding_out_channels: ${own.length} widths; each but the first halves the picture, and latents are ${factor} pixels wide: give ${halvings + 1}`,
    )
  const shared = Object.entries(unet).filter(([key]) => key in controlNetSchema.shape)
  return controlNetConfig({ ...Object.fromEntries(shared), conditioning_embedding_out_channels: own }, 'controlnet')
}

/** A bundled model or one that was trained here, by its name; else the name itself, which may be one on the hub. */
export function storedModel(name: string): string {
  const onHub = !existsSync(name) && /^[\w.-]+\/[\w.-]+$/.test(name) && !existsSync(join('runs', name))
  return onHub ? name : trainedModel(name)
}

/** The base as it is controlled: a pipeline of Stable Diffusion's first or second version. @throws ArgumentError for another */
export async function openBase(model: string): Promise<PromptBatchParts> {
  const components = await openComponents(storedModel(model))
  const { unet, vae, text, className } = components
  if (text.length !== 1 || !('scaling_factor' in vae.config) || unet.config.addition_embed_type !== null)
    throw new ArgumentError(
      `${model}: a ${className} cannot be controlled by a network of this recipe: it needs one text encoder and an AutoencoderKL`,
    )
  if (unet.config.in_channels !== vae.config.latent_channels)
    throw new ArgumentError(`${model}: its U-Net takes ${unet.config.in_channels} channels, more than latents; train on its base`)
  return partsOf(components)
}

const levelsSchema = z.object({
  num_train_timesteps: z.number().default(1000),
  beta_start: z.number().default(1e-4),
  beta_end: z.number().default(0.02),
  beta_schedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid', 'laplace', 'exp']).default('linear'),
  trained_betas: z.array(z.number()).nullish(),
  rescale_betas_zero_snr: z.boolean().default(false),
  prediction_type: z.enum(['epsilon', 'sample', 'v_prediction']).default('epsilon'),
})

/** The noise that a base was trained with, by its scheduler's config. */
export function noiseOf(scheduler: SchedulerConfig): { readonly process: GaussianDiffusion; readonly prediction: Prediction } {
  const found = levelsSchema.safeParse(scheduler)
  if (!found.success)
    throw new ArgumentError(
      `scheduler: ${found.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')}`,
    )
  const { num_train_timesteps: steps, beta_start: start, beta_end: end, ...levels } = found.data
  const { beta_schedule: schedule, trained_betas: trained, rescale_betas_zero_snr: zero, prediction_type: prediction } = levels
  const betas = trained ? Float32Array.from(trained) : betaSchedule(schedule, { steps, start, end })
  return { process: new GaussianDiffusion(zero ? rescaleZeroTerminalSnr(betas) : betas), prediction }
}

interface ObjectiveParts {
  readonly params: Params
  readonly config: ControlNetConfig
  readonly unet: { readonly config: UNet2DConditionConfig; readonly weights: ReadonlyMap<string, NdArray> }
  /** [B, M, D] */
  readonly context: Tensor
  readonly batchSize: number
  /** In latents. */
  readonly height: number
  readonly width: number
  /** Pixels that one latent stands for, along a side. */
  readonly factor: number
}

/**
 * The error of a frozen U-Net with the residuals of a ControlNet that learns (Zhang et al. 2023, eq. 5), from the inputs `x`, `t`, `hint` and
 * `target`. What the U-Net predicts without them is `plain`.
 */
export function controlObjective({ params, config, unet, context, batchSize, height, width, factor }: ObjectiveParts) {
  const { in_channels: channels, out_channels: predictedChannels } = unet.config
  const x = input('x', [batchSize, channels, height, width])
  const t = input('t', [batchSize])
  const hint = input('hint', [batchSize, config.conditioning_channels, height * factor, width * factor])
  const target = input('target', [batchSize, predictedChannels, height, width])
  const network = unet2dCondition(Params.frozen(unet.weights), unet.config)
  const { down, mid } = controlNet(params, config)(x, t, context, hint)
  const predicted = network(x, t, context, { downResiduals: down, midResidual: mid })
  const plain = network(x, t, context)
  return { predicted, plain, error: predicted.sub(target).square().mean(), plainError: plain.sub(target).square().mean() }
}

/** Where training starts: the encoder's copy, with zero convolutions or, to compare, with those of any other layer. */
export function controlStart(
  params: Params,
  unet: ReadonlyMap<string, NdArray>,
  seed: number,
  start: ControlNetRecipe['zero_convolutions'],
): Map<string, NdArray> {
  const generator = new Generator(seed)
  const values = new Map(controlNetWeights(params, unet, generator) as ReadonlyMap<string, NdArray>)
  if (start === 'zero') return values
  for (const [key, value] of values)
    if (/^controlnet_(down_blocks|mid_block)\b.*weight$/.test(key))
      values.set(key, generator.randn(value.shape).mul(1 / Math.sqrt(value.shape[1] as number)))
  return values
}
