import { ArgumentError } from '../../core/errors.ts'
import { type Scheduler, schedulerFromConfig } from '../../diffusion/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { asBatch, fitted, levelsOf } from '../images/fit.ts'
import { network, type PartsOf, scheduler } from '../open/parts.ts'
import type { Opened, Progress, Releasable } from '../page.ts'
import { latentAutoencoder, latentCoder } from '../parts/autoencoder.ts'
import { type BatchEntry, denoiser } from '../parts/denoiser.ts'
import { clipTextEncoder, textEncoder } from '../parts/text-encoder.ts'
import { traceUnet } from '../parts/unet.ts'
import { guidedBy } from '../sampling/guidance.ts'
import { ofStage, sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { schedulerFor } from '../sampling/schedulers.ts'
import type { Decoder, DecoderRun } from './decoder.ts'
import { projection } from './projection.ts'
import type { EncodedPrompt } from './texts.ts'

/** DALL·E 2's decoder in latents of an autoencoder: what `langevin train` makes of an `unclip-decoder`. */
export const latentDecoderParts = {
  text_encoder: clipTextEncoder('tokenizer', ['CLIPTextModelWithProjection']),
  text_proj: network(['UnCLIPTextProjModel']),
  decoder: network(['UNet2DConditionModel']),
  vae: latentAutoencoder(),
  decoder_scheduler: scheduler(),
}

export interface LatentDecoder extends Pick<Decoder, 'text' | 'invert' | 'side'>, Releasable {
  /** Width of the embeddings that it takes. */
  readonly width: number
  decode(run: DecoderRun & { readonly scheduler: Scheduler }): AsyncGenerator<Progress, NdArray<'f32'>, void>
  schedulerOf(chosen: Parameters<typeof schedulerFor>[2]): Scheduler
}

/** @throws ArgumentError for parts that do not belong together */
export function openLatentDecoder(
  parts: PartsOf<typeof latentDecoderParts>,
  { load, compile, done, source }: Opened,
): LatentDecoder {
  const { decoder, text_proj, decoder_scheduler: stored } = parts
  const { in_channels: channels, sample_size: latentSide } = decoder.config
  const latents = latentCoder(parts.vae, { ...compile, tiling: load.tiling })
  const fault = (text: string) => new ArgumentError(`${decoder.place}: ${text}`)
  if (channels !== latents.channels || decoder.config.out_channels !== channels)
    throw fault(
      `in_channels and out_channels are ${channels} and ${decoder.config.out_channels}; the autoencoder has latents of ${latents.channels}`,
    )
  if (typeof latentSide !== 'number') throw fault('sample_size is missing, which says how large its latents are')
  const side = latentSide * latents.factor
  const shape = [1, channels, latentSide, latentSide]
  const text = textEncoder(parts.text_encoder, compile)
  const project = projection(text_proj, compile)
  const working = denoiser(decoder, traceUnet, compile, { quantize: load.quantize })
  const ddim = (className: string) => schedulerFromConfig({ ...stored, _class_name: className })
  const pictures = async (z: NdArray<'f32'>) => ({ type: 'pictures', pictures: await latents.decode(z) }) as const
  const entriesOf = async (embeds: NdArray<'f32'>, prompts: readonly EncodedPrompt[]) => {
    const entries: BatchEntry[][] = []
    for (let k = 0; k < (embeds.shape[0] as number); k++) {
      const own = await project.entries(embeds.slice(0, k, k + 1), prompts)
      // Padding is seen, as the network learnt it.
      entries.push(own.map(({ contextMask: _, ...rest }) => rest))
    }
    await done(project)
    return { entries: entries[0] as BatchEntry[], entriesAt: (_: number, k: number) => entries[k] as BatchEntry[] }
  }
  return {
    ...{ text, side, width: text_proj.config.clip_embeddings_dim },
    schedulerOf: (chosen) => schedulerFor(source.className, stored, chosen),
    async *invert(given, { embeds, prompts, steps, stage, generators, signal }) {
      const data: NdArray<'f32'>[] = []
      for (const picture of given) {
        const whole = asBatch(fitted(levelsOf(picture), { height: side, width: side, mode: 'crop' }))
        data.push(await latents.encodeScaled(whole))
      }
      const run = { signal, generators, seed: 0, num: given.length, preview: pictures, denoiser: working }
      const inverse = { scheduler: ddim('DDIMInverseScheduler'), schedule: { steps }, combine: guidedBy(1) }
      const conditions = await entriesOf(embeds, prompts.slice(-1))
      const prepare = (_: Generator, k: number) => ({ x: data[k] as NdArray<'f32'> })
      return yield* ofStage(stage, sampleLatents({ ...run, ...inverse, ...conditions, prepare }))
    },
    async *decode({ embeds, prompts, steps, guidance, start, stage, generators, signal, scheduler: chosen }) {
      const scheduler = start ? ddim('DDIMScheduler') : chosen
      const z = yield* ofStage(
        stage,
        sampleLatents({
          ...{ signal, generators, seed: 0, num: generators.length, preview: pictures, denoiser: working, scheduler },
          ...(await entriesOf(embeds, prompts)),
          schedule: scheduleOf(scheduler, { steps, eta: start?.eta }),
          combine: guidedBy(guidance),
          prepare: (generator, k, initialSigma) => ({
            x: start?.states.slice(0, k, k + 1) ?? generator.randn(shape).mul(initialSigma),
          }),
        }),
      )
      await done(working)
      const found = await latents.decode(z)
      await done(latents)
      return found
    },
    async release() {
      for (const part of [text, project, working, latents]) await part.release()
    },
  }
}
