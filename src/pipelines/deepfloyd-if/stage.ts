import { ArgumentError } from '../../core/errors.ts'
import type { Scheduler, SchedulerConfig } from '../../diffusion/index.ts'
import type { UNet2DConditionConfig } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import type { OpenedNetwork } from '../open/network.ts'
import { network, optional, type PartsOf, scheduler } from '../open/parts.ts'
import type { Generation, Opened, Releasable } from '../page.ts'
import { type BatchEntry, type Denoiser, denoiser } from '../parts/denoiser.ts'
import { t5Encoder, t5TextEncoder, type WorkingT5Encoder } from '../parts/t5-encoder.ts'
import { traceUnet } from '../parts/unet.ts'
import { type Combine, guidedBy } from '../sampling/guidance.ts'
import { type LatentRun, noised, type Prepared, sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { schedulerFor } from '../sampling/schedulers.ts'
import type { BaseSettings, IfPlan } from './options.ts'
import { entriesOf, TOKENS } from './text.ts'
import { marked, type Watermark, watermark } from './watermark.ts'

/** What every folder of DeepFloyd IF has, and of Imagen's stages that `langevin train` makes; people leave the text encoder out of later stages. */
export const stageParts = {
  text_encoder: optional(t5TextEncoder('tokenizer')),
  unet: network(['UNet2DConditionModel', 'EfficientUNet']),
  watermarker: optional(watermark()),
  scheduler: scheduler(),
}

/** A stage whose networks can run. */
export interface Stage extends Releasable {
  readonly className: string
  readonly place: string
  readonly config: UNet2DConditionConfig
  /** Channels of the picture. */
  readonly channels: number
  /** The picture's shorter side, in pixels. */
  readonly side: number
  readonly text: WorkingT5Encoder | undefined
  /** Tokens that a text is cut or padded to. */
  readonly tokens: number
  readonly network: Denoiser
  readonly mark: Watermark | undefined
  readonly scheduler: SchedulerConfig
  done(part: Releasable): Promise<void>
}

/** @param seen how many pictures the network sees side by side: its state, and in later stages the one that it enlarges */
export function openStage(
  { text_encoder, unet, watermarker, scheduler }: PartsOf<typeof stageParts>,
  { source, load, compile, done }: Opened,
  seen: 1 | 2,
): Stage {
  // The Efficient U-Net is called alike, and has the fields that are read here.
  const own = unet as OpenedNetwork<'UNet2DConditionModel'>
  const { config, place } = own
  const { in_channels: inputs, out_channels: outputs, sample_size: side } = config
  const channels = inputs / seen
  const fault = (text: string) => new ArgumentError(`${place}: ${text}`)
  if (!Number.isInteger(channels))
    throw fault(`in_channels is ${inputs}; a second stage has as many for its picture as for the small one`)
  if (outputs !== channels && outputs !== 2 * channels)
    throw fault(`out_channels is ${outputs}; expected ${channels}, or with learned variances ${2 * channels}`)
  if (typeof side !== 'number') throw fault('sample_size is missing, which says how large its pictures are')
  const width = widthOf(config)
  if (text_encoder && text_encoder.config.d_model !== width)
    throw fault(`the network takes texts of ${width} channels, and the text encoder gives ${text_encoder.config.d_model}`)
  const text = text_encoder && t5Encoder(text_encoder, compile)
  const { max_length: tokens = TOKENS } = source.fields
  if (typeof tokens !== 'number' || !Number.isInteger(tokens) || tokens < 1)
    throw new ArgumentError(`${source.place}: max_length is ${tokens}; expected a number of tokens`)
  const working = denoiser(own, traceUnet, compile, { quantize: load.quantize })
  return {
    ...{ place, config, channels, side, text, tokens, scheduler, done },
    className: source.className,
    network: working,
    mark: watermarker,
    async release() {
      await text?.release()
      await working.release()
    },
  }
}

const widthOf = ({ encoder_hid_dim, cross_attention_dim: width }: UNet2DConditionConfig): number =>
  encoder_hid_dim ?? (Array.isArray(width) ? (width[0] as number) : (width as number))

/** The sampler of a run. @throws ArgumentError where it needs variances that the network does not learn */
export const schedulerOf =
  ({ scheduler, channels, config, place }: Stage, chosen: BaseSettings['scheduler']) =>
  (className: string): Scheduler => {
    const found = schedulerFor(className, scheduler, chosen as SchedulerConfig | undefined)
    if (learns(found) && config.out_channels === channels)
      throw new ArgumentError(
        `scheduler: ${found.className} has variance_type ${found.options.variance_type}, and the network of ${place} gives no variances`,
      )
    return found
  }

const learns = ({ options }: Scheduler): boolean => /^learned/.test(String(options.variance_type ?? ''))

/** @throws ArgumentError for a size that the network cannot halve as often as it does */
export function checkSize({ config, place }: Stage, height: number, width: number): void {
  const unit = 2 ** (config.block_out_channels.length - 1)
  for (const [name, side] of Object.entries({ height, width }))
    if (side % unit !== 0) throw new ArgumentError(`${name}: ${side} is no multiple of ${unit}, as the network of ${place} needs`)
}

/** Guided by the texts; the variances are the prompt's, unguided, and go where the scheduler does not read them. */
function combined(channels: number, guidance: number, variances: boolean): Combine {
  const guided = guidedBy(guidance)
  return (output) => {
    const predicted = guided(output.slice(1, 0, channels))
    const last = output.shape[0] as number
    return variances
      ? NdArray.concat(
          [
            predicted,
            output
              .slice(0, last - 1, last)
              .slice(1, channels)
              .cast('f32'),
          ],
          1,
        )
      : predicted
  }
}

/** The start of a run: noise, or a picture noised to where its strength begins; outside a mask the picture itself, at every call. */
export function startFrom(
  generator: Generator,
  initialSigma: number,
  { shape, picture, mask }: { shape: readonly number[]; picture: NdArray<'f32'> | undefined; mask: NdArray<'f32'> | undefined },
): Prepared {
  const noise = generator.randn(picture?.shape ?? shape)
  if (!picture) return { x: noise.mul(initialSigma) }
  const begun = noised(picture, noise)
  if (!mask) return { x: picture, blend: begun }
  const kept = picture.mul(mask.mul(-1).add(1))
  const within = (state: NdArray) => kept.add(state.mul(mask))
  return { x: picture, blend: (x, level, call) => within(begun(x, level, call)), postprocess: within }
}

interface StageRun extends Pick<LatentRun, 'prepare'> {
  /** Of the small picture's noise. */
  readonly level?: number
  /** What the network sees besides the texts. */
  seeing?(entries: readonly BatchEntry[]): readonly BatchEntry[]
}

/** Samples a stage's pictures. */
export async function* runStage(
  stage: Stage,
  plan: IfPlan,
  settings: Omit<BaseSettings, 'image'>,
  { prepare, level, seeing = (entries) => entries }: StageRun,
): Generation {
  const { text, network, channels, config, mark, side, done } = stage
  const { scheduler, grid, guidance, start } = plan
  const { seed, num, signal, eta } = settings
  const guided = guidance > 1
  const texts = await entriesOf(
    { text, tokens: stage.tokens, width: widthOf(config), place: stage.place },
    settings,
    guided || settings.handsOn,
  )
  if (text) await done(text)
  const labels = level === undefined ? {} : levelLabels(config, level)
  const pictures = yield* sampleLatents({
    ...{ denoiser: network, scheduler, seed, num, signal },
    entries: seeing(guided ? texts : texts.slice(-1)).map((entry) => ({ ...entry, ...labels })),
    schedule: scheduleOf(scheduler, { ...grid, start, eta }),
    combine: combined(channels, guidance, learns(scheduler)),
    prepare,
    preview: async (pictures) => ({ type: 'pictures', pictures }),
  })
  await done(network)
  const [negativePromptEmbeds, promptEmbeds] = texts.map(({ context }) => context as NdArray)
  const conditions = settings.handsOn && promptEmbeds && negativePromptEmbeds && { promptEmbeds, negativePromptEmbeds }
  return {
    type: 'pictures',
    pictures: mark && settings.watermark ? marked(pictures, mark, side) : pictures,
    ...(conditions && { conditions }),
  }
}

/** The level of the small picture's noise, as the network is told it. */
function levelLabels({ class_embed_type: type, num_class_embeds: table }: UNet2DConditionConfig, level: number) {
  if (type === 'timestep') return { classLabels: NdArray.from([level], [1]) }
  return table === null ? {} : { classLabels: new NdArray(BigInt64Array.of(BigInt(level)), [1], 'i64') }
}
