import { ArgumentError } from '../../core/errors.ts'
import { schedulerFromConfig } from '../../diffusion/index.ts'
import { resize } from '../../images/resize.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { asBatch, fitted, levelsOf } from '../images/fit.ts'
import type { OpenedNetwork } from '../open/network.ts'
import { network, type PartsOf, scheduler } from '../open/parts.ts'
import type { Opened, Progress, Releasable } from '../page.ts'
import { type BatchEntry, type Denoiser, denoiser } from '../parts/denoiser.ts'
import { clipTextEncoder, textEncoder, type WorkingTextEncoder } from '../parts/text-encoder.ts'
import { traceUnet } from '../parts/unet.ts'
import { guidedBy, guidedWithVariances } from '../sampling/guidance.ts'
import { ofStage, sampleLatents } from '../sampling/run.ts'
import { projection } from './projection.ts'
import type { EncodedPrompt } from './texts.ts'

/** What both of Karlo's pipelines have. */
export const decoderParts = {
  text_encoder: clipTextEncoder('tokenizer', ['CLIPTextModelWithProjection']),
  text_proj: network(['UnCLIPTextProjModel']),
  decoder: network(['UNet2DConditionModel']),
  super_res_first: network(['UNet2DModel']),
  super_res_last: network(['UNet2DModel']),
  decoder_scheduler: scheduler(),
  super_res_scheduler: scheduler(),
}

/** From a picture's embedding to the picture. */
export interface Decoder extends Releasable {
  readonly text: WorkingTextEncoder
  /** Pixels a side. */
  readonly side: number
  decode(run: DecoderRun & { readonly superResSteps: number }): AsyncGenerator<Progress, NdArray<'f32'>, void>
  /**
   * The noise that DDIM decodes pictures from (Ramesh et al. 2022, section 3): what their embeddings leave open.
   *
   * @param pictures levels of any size, cut to squares
   */
  invert(pictures: readonly NdArray[], run: Omit<DecoderRun, 'start'>): AsyncGenerator<Progress, NdArray<'f32'>, void>
}

export interface DecoderRun {
  /** Pictures' embeddings [num, D]. */
  readonly embeds: NdArray<'f32'>
  /** The prompt, and before it the empty one where there is guidance. */
  readonly prompts: readonly EncodedPrompt[]
  readonly steps: number
  readonly guidance: number
  /** DDIM from these states [num, C, s, s], with this share of DDPM's noise; else from noise by the model's own scheduler. */
  readonly start?: { readonly states: NdArray<'f32'>; readonly eta: number } | undefined
  /** The number of the first of the two stages. */
  readonly stage: number
  readonly generators: readonly Generator[]
  readonly signal?: AbortSignal | undefined
}

export function openDecoder(parts: PartsOf<typeof decoderParts>, { load, compile, done }: Opened): Decoder {
  const { decoder, super_res_first: first, super_res_last: last } = parts
  const [small, large] = [sideOf(decoder), sideOf(first)]
  const channels = decoder.config.in_channels
  for (const { config, place } of [first, last])
    if (config.in_channels !== 2 * channels)
      throw new ArgumentError(
        `${place}: in_channels is ${config.in_channels}; expected ${2 * channels}: its picture and the small one`,
      )
  const text = textEncoder(parts.text_encoder, compile)
  const project = projection(parts.text_proj, compile)
  const network = denoiser(decoder, traceUnet, compile, { quantize: load.quantize })
  const enlarging = [first, last].map((one) =>
    denoiser(one, (run, { sample, timestep }) => run(sample as never, timestep as never), compile),
  ) as [Denoiser, Denoiser]
  const [decoding, enlargement] = [parts.decoder_scheduler, parts.super_res_scheduler].map(schedulerFromConfig) as [
    ReturnType<typeof schedulerFromConfig>,
    ReturnType<typeof schedulerFromConfig>,
  ]
  const learns = decoding.options.variance_type === 'learned_range'
  if (decoder.config.out_channels !== (learns ? 2 : 1) * channels)
    throw new ArgumentError(
      `${decoder.place}: out_channels is ${decoder.config.out_channels}; expected ${channels}, or with a scheduler of learned_range ${2 * channels}`,
    )
  const pictures = async (found: NdArray<'f32'>) => ({ type: 'pictures', pictures: found }) as const
  const entriesOf = async (embeds: NdArray<'f32'>, prompts: readonly EncodedPrompt[]) => {
    const entries: BatchEntry[][] = []
    for (let k = 0; k < (embeds.shape[0] as number); k++) entries.push(await project.entries(embeds.slice(0, k, k + 1), prompts))
    await done(project)
    return { entries: entries[0] as BatchEntry[], entriesAt: (_: number, k: number) => entries[k] as BatchEntry[] }
  }
  const { num_train_timesteps } = decoding.options
  const ddim = (className: string) =>
    schedulerFromConfig({ _class_name: className, beta_schedule: 'squaredcos_cap_v2', num_train_timesteps })
  /** Without its variances. */
  const mean = (guidance: number) => (output: NdArray<'f32'>) => guidedBy(guidance)(output.slice(1, 0, channels))
  return {
    text,
    side: large,
    async *invert(given, { embeds, prompts, steps, stage, generators, signal }) {
      const data = given.map((picture) => asBatch(fitted(levelsOf(picture), { height: small, width: small, mode: 'crop' })))
      const run = { signal, generators, seed: 0, num: given.length, preview: pictures, denoiser: network }
      const inverse = { scheduler: ddim('DDIMInverseScheduler'), schedule: { steps }, combine: mean(1) }
      const conditions = await entriesOf(embeds, prompts.slice(-1))
      const prepare = (_: Generator, k: number) => ({ x: data[k] as NdArray<'f32'> })
      return yield* ofStage(stage, sampleLatents({ ...run, ...inverse, ...conditions, prepare }))
    },
    async *decode({ embeds, prompts, steps, guidance, superResSteps, start, stage, generators, signal }) {
      const run = { signal, generators, seed: 0, num: generators.length, preview: pictures }
      const own = {
        ...{ scheduler: decoding, schedule: { steps } },
        combine: learns ? guidedWithVariances(guidance, channels) : guidedBy(guidance),
      }
      const deterministic = start && {
        ...{ scheduler: ddim('DDIMScheduler'), schedule: { steps, eta: start.eta }, combine: mean(guidance) },
      }
      const smalls = yield* ofStage(
        stage,
        sampleLatents({
          ...{ ...run, ...(deterministic ?? own), denoiser: network },
          ...(await entriesOf(embeds, prompts)),
          prepare: (generator, k, initialSigma) => ({
            x: start?.states.slice(0, k, k + 1) ?? generator.randn([1, channels, small, small]).mul(initialSigma),
          }),
        }),
      )
      await done(network)
      const upscaled = resize(smalls.clamp(-1, 1).cast('f32'), { width: large, height: large, kernel: 'bicubic' })
      const made = yield* ofStage(
        stage + 1,
        sampleLatents({
          ...{ ...run, denoiser: lastBy(...enlarging), scheduler: enlargement, schedule: { steps: superResSteps } },
          entries: [{}],
          combine: (output) => output,
          prepare: (generator, k, initialSigma) => ({
            x: generator.randn([1, channels, large, large]).mul(initialSigma),
            channels: upscaled.slice(0, k, k + 1),
          }),
        }),
      )
      for (const one of enlarging) await done(one)
      return made
    },
    async release() {
      for (const part of [text, project, network, ...enlarging]) await part.release()
    },
  }
}

function sideOf({ config: { sample_size: side }, place }: OpenedNetwork<'UNet2DConditionModel' | 'UNet2DModel'>): number {
  if (typeof side === 'number') return side
  throw new ArgumentError(`${place}: sample_size is ${JSON.stringify(side)}; expected how many pixels a side its pictures have`)
}

/** One network for all calls of a run but the last, which is another's. */
const lastBy = (first: Denoiser, last: Denoiser): Denoiser => ({
  ...first,
  begin: () => {
    const runs = { first: first.begin(), last: last.begin() }
    return {
      predict: (sample, t, entries, at = {}) =>
        runs[at.call === (at.calls ?? 1) - 1 ? 'last' : 'first'].predict(sample, t, entries, at),
    }
  },
})
