import { ConfigError } from '../../checkpoints/index.ts'
import type { SchedulerConfig } from '../../diffusion/index.ts'
import { existsSync, join } from '../../runtime/system.ts'
import type { OpenedNetwork } from '../open/network.ts'
import { network, optional, type PartsOf, scheduler } from '../open/parts.ts'
import type { ModelSource } from '../open/source.ts'
import { type LatentNetwork, latentAutoencoder } from '../parts/autoencoder.ts'
import { type T5TextEncoder, t5TextEncoder } from '../parts/t5-encoder.ts'
import { clipTextEncoder, type TextEncoder } from '../parts/text-encoder.ts'

const projected = ['CLIPTextModelWithProjection'] as const

/** What a model of Stable Diffusion 3 may have. */
export const stableDiffusion3Parts = {
  transformer: network(['SD3Transformer2DModel']),
  vae: latentAutoencoder(),
  text_encoder: optional(clipTextEncoder('tokenizer', projected)),
  text_encoder_2: optional(clipTextEncoder('tokenizer_2', projected)),
  text_encoder_3: optional(t5TextEncoder('tokenizer_3')),
  controlnet: optional(network(['SD3ControlNetModel'])),
  scheduler: scheduler(),
}

/** What a checkpoint of Stable Diffusion 3 holds. */
export interface Components {
  readonly place: string
  /** diffusers' pipeline class. */
  readonly className: string
  readonly transformer: OpenedNetwork<'SD3Transformer2DModel'>
  readonly vae: LatentNetwork
  /** CLIP's two encoders, each of which may be left out. */
  readonly clips: readonly [TextEncoder | undefined, TextEncoder | undefined]
  /** T5's encoder, which may be left out too. */
  readonly t5: T5TextEncoder | undefined
  /** The ControlNet of a folder that has its own. */
  readonly controlnet: OpenedNetwork<'SD3ControlNetModel'> | undefined
  readonly scheduler: SchedulerConfig
}

/** @throws ConfigError where the parts do not fit each other */
export function componentsOf(parts: PartsOf<typeof stableDiffusion3Parts>, source: ModelSource): Components {
  const { transformer, vae, text_encoder: first, text_encoder_2: second, text_encoder_3: t5 } = parts
  const found: Components = {
    place: source.place,
    className: source.className,
    transformer,
    vae: vae as LatentNetwork,
    clips: [first, second],
    t5,
    controlnet: parts.controlnet,
    scheduler: parts.scheduler,
  }
  if (!first && !second && !t5) {
    const file = join(source.place, 'model_index.json')
    const folder = existsSync(file)
    const remedy = folder
      ? 'give at least one'
      : 'give a folder with text_encoder/, text_encoder_2/ or text_encoder_3/ (--tokenizer)'
    throw new ConfigError(folder ? file : source.place, `has none of its text encoders: ${remedy}`, { field: 'text_encoder' })
  }
  checkFit(found)
  return found
}

/** What the transformer takes against what the others give. */
function checkFit({ transformer: { config, place }, vae, clips, t5 }: Components): void {
  const at = join(place, 'config.json')
  const fault = (field: keyof typeof config, message: string) => {
    throw new ConfigError(existsSync(at) ? at : place, `is ${config[field]}; ${message}`, { field })
  }
  const { latent_channels: channels } = vae.config
  const { in_channels: seen, pooled_projection_dim: pooled, joint_attention_dim: joint } = config
  if (seen !== channels && seen !== 2 * channels + 1)
    fault(
      'in_channels',
      `the autoencoder's latents have ${channels} channels, and an in-painting network takes ${2 * channels + 1}`,
    )
  const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0)
  const present = clips.filter((one) => one !== undefined)
  const own = sum(present.map((one) => one.config.projection_dim))
  if (present.length === 2 ? own !== pooled : own > pooled)
    fault('pooled_projection_dim', `the text encoders' projection_dim is ${own} together`)
  const width = sum(present.map((one) => one.config.hidden_size))
  if (width > joint) fault('joint_attention_dim', `the text encoders' states are ${width} wide side by side`)
  if (t5 && t5.config.d_model !== joint) fault('joint_attention_dim', `${t5.name}'s states are ${t5.config.d_model} wide`)
}
