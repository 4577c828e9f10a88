import { matchWeights } from '../../checkpoints/index.ts'
import type { Json } from '../../checkpoints/json.ts'
import type { SchedulerConfig } from '../../diffusion/index.ts'
import {
  type AutoencoderKLConfig,
  type AutoencoderTinyConfig,
  autoencoderKL,
  autoencoderKLConfig,
  autoencoderTiny,
  autoencoderTinyConfig,
  type ClipTextConfig,
  clipText,
  clipTextConfig,
  clipTextWithProjection,
  isClipBuffer,
  renameClipText,
  type UNet2DConditionConfig,
  unet2dCondition,
  unet2dConditionConfig,
  type VQModelConfig,
  vqModel,
  vqModelConfig,
} from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { renameAttention } from '../../nn/spatial-attention.ts'
import type { Weights } from '../../runtime/weights.ts'
import type { ClipTokenizer } from '../../text/index.ts'
import type { ImageEncoder } from './vision.ts'

/** A network as its checkpoint has it: weights under the network's own names, not yet in memory. */
export interface Network<C> {
  readonly config: C
  readonly weights: Weights
}

export interface TextEncoder extends Network<ClipTextConfig> {
  /** `text_encoder` or `text_encoder_2`. */
  readonly name: string
  /** Whether it has a projection, whose result is then what it gives as the pooled text. */
  readonly projected: boolean
  readonly tokenizer: ClipTokenizer
}

export type Autoencoder =
  | (Network<AutoencoderKLConfig> & { readonly kind: 'AutoencoderKL' })
  | (Network<AutoencoderTinyConfig> & { readonly kind: 'AutoencoderTiny' })
  | (Network<VQModelConfig> & { readonly kind: 'VQModel' })

/** What a checkpoint of Stable Diffusion holds. */
export interface Components {
  /** What errors and pictures call it. */
  readonly place: string
  /** diffusers' pipeline class. */
  readonly className: string
  /** `model_index.json` beside the components, as `force_zeros_for_empty_prompt`. */
  readonly options: Readonly<Json>
  readonly unet: Network<UNet2DConditionConfig> & { readonly version: string | undefined }
  readonly vae: Autoencoder
  /** In the order in which XL joins them; the refiner has only its second, and variations need none. */
  readonly text: readonly TextEncoder[]
  /** What sees the pictures that IP-Adapters and variations are given. */
  readonly imageEncoder?: ImageEncoder | undefined
  readonly scheduler: SchedulerConfig
  /** How the ×4 upscaler adds noise to the picture that it is given. */
  readonly lowResScheduler: SchedulerConfig | undefined
}

/** What stands in a folder or in a single file of one network. */
export interface Stored {
  readonly className: string
  readonly config: unknown
  readonly weights: Weights
  /** What errors call it: its folder, or the file with the component's name; of the config, and of the weights. */
  readonly place: string
}

/** @throws ModelConfigError, CheckpointError */
export function unetOf({ config: fields, weights, place }: Stored): Components['unet'] {
  const config = unet2dConditionConfig(fields, place)
  const p = new Params()
  unet2dCondition(p, config)
  const version = (fields as Json)._diffusers_version
  return {
    config,
    weights: matchWeights(p.tensors, weights, { place }),
    version: typeof version === 'string' ? version : undefined,
  }
}

/** @throws ModelConfigError, CheckpointError */
export function autoencoderOf({ className, config: fields, weights, place }: Stored): Autoencoder {
  const p = new Params()
  const match = () => matchWeights(p.tensors, weights, { place, rename: renameAttention })
  switch (className) {
    case 'AutoencoderTiny': {
      const config = autoencoderTinyConfig(fields, place)
      autoencoderTiny(p, config)
      return { kind: className, config, weights: match() }
    }
    case 'VQModel': {
      const config = vqModelConfig(fields, place)
      vqModel(p, config)
      return { kind: className, config, weights: match() }
    }
    default: {
      const config = autoencoderKLConfig(fields, place)
      autoencoderKL(p, config)
      return { kind: 'AutoencoderKL', config, weights: match() }
    }
  }
}

/** @throws ModelConfigError, CheckpointError */
export function textEncoderOf(
  name: string,
  { className, config: fields, weights, place }: Stored,
  tokenizer: ClipTokenizer,
): TextEncoder {
  const config = clipTextConfig(fields, place)
  const p = new Params()
  const projected = className === 'CLIPTextModelWithProjection'
  if (projected) clipTextWithProjection(p, config)
  else clipText(p, config)
  return {
    name,
    config,
    projected,
    tokenizer,
    weights: matchWeights(p.tensors, weights, { place, rename: renameClipText, ignore: isClipBuffer }),
  }
}

/** Pixels a side that one latent stands for. */
export const factorOf = ({ vae }: Components): number => {
  const widths = vae.kind === 'AutoencoderTiny' ? vae.config.decoder_block_out_channels : vae.config.block_out_channels
  return 2 ** (widths.length - 1)
}
