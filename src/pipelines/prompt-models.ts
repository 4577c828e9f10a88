import { input, type Tensor } from '../core/tensor.ts'
import type { SchedulerConfig } from '../diffusion/index.ts'
import { clipText } from '../models/clip/index.ts'
import { type ControlNetConfig, controlNet, scaleControl, sumControl } from '../models/controlnet/index.ts'
import { type MmditConfig, mmditTransformer } from '../models/mmdit/index.ts'
import { type UNet2DConditionConfig, unet2dCondition } from '../models/unet-condition/index.ts'
import type { AutoencoderKLConfig } from '../models/vae/index.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Weights } from '../runtime/weights.ts'
import type { ClipTokenizer } from '../text/index.ts'
import { framed } from './clip.ts'
import type { Network } from './open/network.ts'
import { openSource } from './open/open.ts'
import { openParts } from './open/parts.ts'
import type { OpenOptions } from './open/source.ts'
import { type T5TextEncoder, t5Length } from './parts/t5-encoder.ts'
import type { TextEncoder } from './parts/text-encoder.ts'
import type { Components } from './stable-diffusion/components.ts'
import { stableDiffusion3Parts } from './stable-diffusion-3/components.ts'
import { traceTexts } from './stable-diffusion-3/texts.ts'

/** Tensors by name. */
export type Named<T> = Readonly<Record<string, T>>

/** A text-to-image model of any family, as prompts in batches need it. */
export interface PromptModel {
  readonly encoder: {
    readonly weights: Weights
    /** What the denoiser is conditioned on, [count, …] each. */
    trace(count: number): Named<Tensor>
    /** Values of the inputs of that graph. */
    feeds(prompts: readonly string[]): Named<NdArray>
  }
  readonly denoiser: {
    readonly weights: Weights
    /** Of its latents. */
    readonly channels: number
    /** Channels of the control image of each of its ControlNets. */
    readonly hints: readonly number[]
    /** `hint0` [B, C, size, size] in [0, 1], `scale0` [] and so on are among the conditions where there are ControlNets. */
    trace(x: Tensor, t: Tensor, conditions: Named<Tensor>): Tensor
  }
  readonly vae: Network<AutoencoderKLConfig>
  readonly scheduler: SchedulerConfig
  /** Pixels a side. */
  readonly size: number
}

/** What every such model has beside its texts and its denoiser. */
interface Common extends Pick<PromptModel, 'vae' | 'scheduler' | 'size'> {}

/** A small model of Stable Diffusion's kind, with one text encoder. */
export interface PromptBatchParts extends Common {
  readonly unet: Network<UNet2DConditionConfig>
  readonly text: Pick<TextEncoder, 'config' | 'weights' | 'tokenizer'>
  /** Networks whose residuals are added up. */
  readonly controls?: readonly Network<ControlNetConfig>[]
}

/** A small model of Stable Diffusion 3's kind, with all of its text encoders. */
export interface FlowBatchParts extends Common {
  readonly transformer: Network<MmditConfig>
  readonly clips: readonly Pick<TextEncoder, 'config' | 'weights' | 'tokenizer'>[]
  readonly t5: Pick<T5TextEncoder, 'config' | 'weights' | 'tokenizer'>
}

export const promptModel = (parts: PromptBatchParts | FlowBatchParts): PromptModel =>
  'unet' in parts ? ofStableDiffusion(parts) : ofStableDiffusion3(parts)

function ofStableDiffusion({ unet, text, controls = [], ...common }: PromptBatchParts): PromptModel {
  const network = unet2dCondition(new Params(), unet.config)
  const nets = controls.map(({ config }, i) => controlNet(new Params(`control${i}`), config))
  const scoped = controls.flatMap(({ weights }, i) => [...weights].map(([key, value]) => [`control${i}.${key}`, value] as const))
  return {
    ...common,
    encoder: {
      weights: text.weights,
      trace: (count) => ({ context: clipText(new Params(), text.config)(tokensOf(text.tokenizer, count)).lastHiddenState }),
      feeds: (prompts) => ({ tokens: framed(text.tokenizer, prompts) }),
    },
    denoiser: {
      weights: new Map([...unet.weights, ...scoped]),
      channels: unet.config.in_channels,
      hints: controls.map(({ config }) => config.conditioning_channels),
      trace(x, t, { context, ...given }) {
        const told = context as Tensor
        if (nets.length === 0) return network(x, t, told)
        const each = nets.map((net, i) => {
          const control = net(x, t, told, given[`hint${i}`] as Tensor)
          return scaleControl(control, (given[`scale${i}`] as Tensor).reshape([1]).expand([control.down.length + 1]))
        })
        const { down, mid } = sumControl(each)
        return network(x, t, told, { downResiduals: down, midResidual: mid })
      },
    },
  }
}

const tokensOf = (tokenizer: ClipTokenizer, count: number, name = 'tokens') => input(name, [count, tokenizer.maxLength], 'i64')

function ofStableDiffusion3({ transformer, clips, t5, ...common }: FlowBatchParts): PromptModel {
  const network = mmditTransformer(new Params(), transformer.config)
  // Two encoders of one class have the same keys: each has its own scope.
  const scope = (i: number) => `clip${i}`
  const scoped = clips.flatMap(({ weights }, i) => [...weights].map(([key, value]) => [`${scope(i)}.${key}`, value] as const))
  return {
    ...common,
    encoder: {
      weights: new Map([...scoped, ...t5.weights]),
      trace(count) {
        const traced = clips.map(({ config }, i) => ({ config, params: new Params(scope(i)) }))
        const { context, pooled } = traceTexts(traced, { config: t5.config, params: new Params() })({
          clips: clips.map(({ tokenizer }, i) => tokensOf(tokenizer, count, `tokens${i}`)),
          t5: input('t5Tokens', [count, t5Length(t5)], 'i64'),
        })
        return { context, pooled }
      },
      feeds: (prompts) => flowTokens({ clips, t5 }, prompts),
    },
    denoiser: {
      weights: transformer.weights,
      channels: transformer.config.in_channels,
      hints: [],
      trace: (x, t, { context, pooled }) => network(x, t, { context: context as Tensor, pooled: pooled as Tensor }),
    },
  }
}

/** Texts as all encoders of Stable Diffusion 3 read them: `tokens0`, `tokens1`, `t5Tokens`. */
export function flowTokens(
  { clips, t5 }: { readonly clips: readonly Pick<TextEncoder, 'tokenizer'>[]; readonly t5: Pick<T5TextEncoder, 'tokenizer'> },
  texts: readonly string[],
): Named<NdArray<'i64'>> {
  const length = t5Length(t5)
  const ids = texts.flatMap((text) => t5.tokenizer.frame(t5.tokenizer.encode(text), length).ids)
  return {
    ...Object.fromEntries(clips.map(({ tokenizer }, i) => [`tokens${i}`, framed(tokenizer, texts)])),
    t5Tokens: new NdArray(BigInt64Array.from(ids, BigInt), [texts.length, length], 'i64'),
  }
}

/** The parts of an opened model with one text encoder. */
export function partsOf({ unet, text: [text], vae, scheduler }: Components): PromptBatchParts {
  const own = vae as Network<AutoencoderKLConfig>
  return { unet, text: text as TextEncoder, vae: own, scheduler, size: Number(unet.config.sample_size) * pixelsOf(own) }
}

/** The parts of a model of Stable Diffusion 3's kind; none where it lacks one of its encoders. */
export async function openFlowParts(model: string, options: OpenOptions = {}): Promise<FlowBatchParts | undefined> {
  const source = await openSource(model, options)
  const {
    transformer,
    text_encoder,
    text_encoder_2,
    text_encoder_3: t5,
    ...parts
  } = await openParts(source, stableDiffusion3Parts, options)
  const vae = parts.vae as Network<AutoencoderKLConfig>
  if (!text_encoder || !text_encoder_2 || !t5 || !('scaling_factor' in vae.config)) return undefined
  const { scheduler } = parts
  const size = transformer.config.sample_size * pixelsOf(vae)
  return { transformer, clips: [text_encoder, text_encoder_2], t5, vae, scheduler, size }
}

/** Pixels a side that one latent stands for. */
const pixelsOf = ({ config }: Network<AutoencoderKLConfig>): number => 2 ** (config.block_out_channels.length - 1)
