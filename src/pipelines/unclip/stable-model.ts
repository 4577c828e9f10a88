import { ArgumentError } from '../../core/errors.ts'
import type { Scheduler } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import type { Size } from '../images/fit.ts'
import { network, type PartsOf, scheduler } from '../open/parts.ts'
import type { Opened, Plan, Progress, Releasable } from '../page.ts'
import { latentAutoencoder, latentCoder } from '../parts/autoencoder.ts'
import { type BatchEntry, denoiser } from '../parts/denoiser.ts'
import { clipTextEncoder, textEncoder } from '../parts/text-encoder.ts'
import { traceUnet } from '../parts/unet.ts'
import { guidedBy } from '../sampling/guidance.ts'
import { sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { schedulerFor } from '../sampling/schedulers.ts'
import { embeddingNoise } from './embedding-noise.ts'
import type { StableSettings } from './options.ts'
import { encodeStates } from './texts.ts'

/** What both of Stable unCLIP's pipelines have. */
export const stableParts = {
  text_encoder: clipTextEncoder('tokenizer', ['CLIPTextModel']),
  unet: network(['UNet2DConditionModel']),
  scheduler: scheduler(),
  vae: latentAutoencoder(),
  image_normalizer: network(['StableUnCLIPImageNormalizer']),
  image_noising_scheduler: scheduler(),
}

export interface StableRun extends StableSettings {
  /** Each picture's embedding, noised: [1, 2·D]. */
  readonly embeds: readonly NdArray<'f32'>[]
  readonly generators: readonly Generator[]
  readonly signal?: AbortSignal | undefined
}

/** Stable unCLIP from a picture's embedding on. */
export interface StableModel extends Releasable {
  readonly noise: ReturnType<typeof embeddingNoise>
  /** @throws ArgumentError for what the model cannot do */
  plan(settings: StableSettings): Plan
  /** Encodes the prompt, samples and decodes. */
  pictures(run: StableRun): AsyncGenerator<Progress, NdArray<'f32'>, void>
}

export function openStable(parts: PartsOf<typeof stableParts>, { source, load, compile, done }: Opened): StableModel {
  const { config, place } = parts.unet
  const {
    in_channels: channels,
    class_embed_type: type,
    projection_class_embeddings_input_dim: width,
    sample_size: side,
  } = config
  const fault = (text: string) => new ArgumentError(`${place}: ${text}`)
  const own = 2 * parts.image_normalizer.config.embedding_dim
  if (!type?.endsWith('projection') || width !== own)
    throw fault(
      `it takes no embedding of a picture with its noise level: class_embed_type is ${type} of ${width}, expected projection of ${own}`,
    )
  const latents = latentCoder(parts.vae, { ...compile, tiling: load.tiling })
  if (latents.channels !== channels)
    throw fault(`the network has latents of ${channels} channels, and the autoencoder of ${latents.channels}`)
  const text = textEncoder(parts.text_encoder, compile)
  const network = denoiser(parts.unet, traceUnet, compile, { quantize: load.quantize })
  const noise = embeddingNoise(parts.image_normalizer, parts.image_noising_scheduler)

  const sizeOf = ({ width, height }: StableSettings): Size => {
    if (typeof side !== 'number' && (width === undefined || height === undefined))
      throw fault('sample_size is missing, which says how large pictures are: give width and height')
    const size = { width: width ?? (side as number) * latents.factor, height: height ?? (side as number) * latents.factor }
    if (size.width % 8 === 0 && size.height % 8 === 0) return size
    throw new ArgumentError(`width and height must be multiples of 8; got ${size.width} × ${size.height}`)
  }
  const schedulerOf = ({ scheduler }: StableSettings): Scheduler => schedulerFor(source.className, parts.scheduler, scheduler)

  return {
    noise,
    plan(settings) {
      noise.check(settings.noiseLevel)
      const { width, height } = sizeOf(settings)
      const { steps, guidance, noiseLevel, eta, clipSkip = 0 } = settings
      const { className, warnings } = schedulerOf(settings)
      return {
        className: source.className,
        ...(warnings.length > 0 && { warnings }),
        settings: {
          Steps: steps,
          Sampler: className,
          'CFG scale': guidance,
          Size: `${width}x${height}`,
          'Embedding noise': noiseLevel === 0 ? undefined : noiseLevel,
          'Clip skip': clipSkip === 0 ? undefined : clipSkip + 1,
          Eta: eta === 0 ? undefined : eta,
        },
      }
    },
    async *pictures({ prompt, negative, guidance, steps, eta, clipSkip, embeds, generators, signal, ...settings }) {
      const chosen = schedulerOf(settings as StableSettings)
      const { width, height } = sizeOf(settings as StableSettings)
      const guided = guidance > 1
      const contexts = [...(guided ? [await encodeStates(text, negative)] : []), await encodeStates(text, prompt, clipSkip)]
      await done(text)
      const entriesOf = (picture: number): BatchEntry[] => {
        const own = embeds[picture] as NdArray<'f32'>
        return contexts.map((context, i) => ({ context, classLabels: guided && i === 0 ? NdArray.zeros(own.shape) : own }))
      }
      const shape = [1, channels, Math.floor(height / latents.factor), Math.floor(width / latents.factor)]
      const pictures = async (z: NdArray<'f32'>) => ({ type: 'pictures', pictures: await latents.decode(z) }) as const
      const z = yield* sampleLatents({
        ...{ denoiser: network, scheduler: chosen, generators, signal, seed: 0, num: generators.length, preview: pictures },
        entries: entriesOf(0),
        entriesAt: (_, picture) => entriesOf(picture),
        schedule: scheduleOf(chosen, { steps, eta }),
        combine: guidedBy(guidance),
        prepare: (generator, _, initialSigma) => ({ x: generator.randn(shape).mul(initialSigma) }),
      })
      await done(network)
      const made = await latents.decode(z)
      await done(latents)
      return made
    },
    async release() {
      for (const part of [text, network, latents]) await part.release()
    },
  }
}
