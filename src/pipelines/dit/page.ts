import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { join } from '../../runtime/system.ts'
import { scheduler } from '../open/parts.ts'
import { numOption, schedulerOption, seedOption, stepsOption } from '../options.ts'
import { type Page, page } from '../page.ts'
import { latentAutoencoder, latentCoder } from '../parts/autoencoder.ts'
import { type BatchEntry, denoiser } from '../parts/denoiser.ts'
import { type LoraOptions, withLoras } from '../parts/loras.ts'
import { guidedBy } from '../sampling/guidance.ts'
import { sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { schedulerFor } from '../sampling/schedulers.ts'
import { classOf, labelOption, labelsOf, noClass } from './labels.ts'
import { scaledStates } from './scaled-states.ts'
import { transformerPart } from './transformer.ts'

const options = z.object({
  label: labelOption,
  steps: stepsOption.default(50),
  guidance: z.number().default(4).meta({ description: 'how strongly the class guides; 1 or less is not at all' }),
  seed: seedOption,
  num: numOption,
  scheduler: schedulerOption,
})

const className = 'DiTPipeline'
const classLabels = (id: number): BatchEntry => ({ classLabels: new NdArray(BigInt64Array.of(BigInt(id)), [1], 'i64') })

/** Pictures of a class (Peebles and Xie 2023): diffusers' `DiTPipeline`. */
export const dit: Page = page({
  classes: [className],
  output: 'pictures',
  parts: { transformer: transformerPart('DiTTransformer2DModel'), vae: latentAutoencoder(), scheduler: scheduler() },
  options,
  loads: ['vae', 'tiling', 'quantize', 'loras'] as (keyof LoraOptions & string)[],
  async open({ transformer, vae, scheduler }, { source, load, compile, done }) {
    const { config, place } = transformer
    const { in_channels: channels, num_embeds_ada_norm: count } = config
    const outputs = config.out_channels ?? channels
    if (outputs !== channels && outputs !== 2 * channels)
      throw new ArgumentError(
        `${place}: out_channels is ${outputs}; expected ${channels}, or with learned variances ${2 * channels}`,
      )
    if (config.sample_size % config.patch_size !== 0)
      throw new ArgumentError(
        `${place}: sample_size is ${config.sample_size}, which does not divide into patches of ${config.patch_size}×${config.patch_size}`,
      )
    const network = denoiser(
      (await withLoras({ transformer }, load)).transformer,
      (run, { sample, timestep, classLabels }) => run(sample as never, timestep as never, classLabels as never),
      compile,
      { quantize: load.quantize },
    )
    const latents = latentCoder(vae, { ...compile, tiling: load.tiling })
    if (latents.channels !== channels)
      throw new ArgumentError(
        `${place}: the network has latents of ${channels} channels, and the autoencoder of ${latents.channels}`,
      )
    return {
      ...{ network, latents, scheduler, done },
      shape: [1, channels, config.sample_size, config.sample_size],
      labels: labelsOf(source.fields.id2label, count, join(source.place, 'model_index.json')),
      none: noClass(count),
      async release() {
        await network.release()
        await latents.release()
      },
    }
  },
  plan({ scheduler, labels }, { label, steps, guidance, num, ...run }) {
    const ids = label.map((one) => classOf(one, labels))
    return {
      className,
      pictures: label.length * num,
      settings: {
        Steps: steps,
        Sampler: schedulerFor(className, scheduler, run.scheduler).className,
        'CFG scale': guidance,
        Class: label.map((one, i) => (String(one) === String(ids[i]) ? one : `${one} (${ids[i]})`)).join('; '),
      },
    }
  },
  async *generate(
    { network, latents, labels, shape, none, done, ...model },
    { label, steps, guidance, seed, num, signal, ...run },
  ) {
    const chosen = schedulerFor(className, model.scheduler, run.scheduler)
    const [, channels] = shape as [number, number]
    const guided = guidedBy(guidance)
    const ids = label.map((one) => classOf(one, labels))
    const ends: NdArray<'f32'>[] = []
    for (const [i, id] of ids.entries()) {
      const { denoiser, blend } = scaledStates(network)
      const sampling = sampleLatents({
        ...{ denoiser, scheduler: chosen, num, signal },
        seed: seed + i * num,
        schedule: scheduleOf(chosen, { steps }),
        entries: guidance > 1 ? [classLabels(none), classLabels(id)] : [classLabels(id)],
        combine: (output) => guided(output.slice(1, 0, channels)),
        // diffusers does not bring the noise to the scheduler's first level here, as its other pipelines do.
        prepare: (generator) => ({ x: generator.randn(shape), blend }),
        preview: async (z) => ({ type: 'pictures', pictures: await latents.decode(z) }),
      })
      let next = await sampling.next()
      for (; !next.done; next = await sampling.next()) {
        const { picture, done: calls, total } = next.value
        yield { ...next.value, picture: picture + i * num, done: calls + i * total, total: total * ids.length }
      }
      ends.push(next.value)
    }
    await done(network)
    const pictures = await latents.decode(NdArray.concat(ends))
    await done(latents)
    return { type: 'pictures', pictures }
  },
})
