import { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { type LoadOptions, type Page, page } from '../page.ts'
import { guidedBy, guidedWithVariances } from '../sampling/guidance.ts'
import { generatorsOf, noised, ofStage, type Prepared, sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { decoderParts, type KandinskyModel, openModel } from './model.ts'
import { type KandinskySettings, kandinskyOptions } from './options.ts'
import { hintAt, keptLatents, pictureAt } from './pictures.ts'
import { decoderClasses, inWords, type KandinskyPlan, planOf } from './plan.ts'
import type { Embeddings, KandinskyPrior } from './prior.ts'

/**
 * Pictures from a prompt by way of their embeddings, in latents of MoVQ: Kandinsky 2.2, diffusers' `KandinskyV22Pipeline` and, with a
 * picture, a mask or a control image, its others; the prior stands in a folder of its own.
 */
export const kandinsky: Page = page({
  classes: decoderClasses,
  output: 'pictures',
  parts: decoderParts,
  options: kandinskyOptions,
  loads: ['prior', 'vae', 'quantize'] as (keyof LoadOptions & string)[],
  open: openModel,
  plan: inWords,
  async *generate(model, { signal, ...settings }) {
    const plan = planOf(model, settings)
    const { network, latents, done } = model
    const { seed, num, guidance, steps, controls } = settings
    const { scheduler, size, start } = plan
    const generators = generatorsOf(seed, num)
    const { embeds, negative } = given(settings) ?? (yield* ofStage(0, drawn(model, settings, generators, signal)))
    const hint = controls?.[0] && hintAt(controls[0].picture, size)
    const entriesOf = (picture: number) => {
      const own = (all: NdArray<'f32'>) => ({ imageEmbeds: all.slice(0, picture, picture + 1), hint })
      return guidance > 1 ? [own(negative), own(embeds)] : [own(embeds)]
    }
    const prepare = await startsOf(model, settings, plan)
    const learns = /^learned/.test(String(scheduler.options.variance_type ?? ''))
    const { channels } = latents
    const guided = guidedBy(guidance)
    const pictures = async (z: NdArray<'f32'>) => ({ type: 'pictures', pictures: await latents.decode(z) }) as const
    const z = yield* ofStage(
      1,
      sampleLatents({
        ...{ denoiser: network, scheduler, generators, signal, seed, num, prepare, preview: pictures },
        entries: entriesOf(0),
        entriesAt: (_, picture) => entriesOf(picture),
        schedule: scheduleOf(scheduler, { steps, start }),
        combine: learns ? guidedWithVariances(guidance, channels) : (output) => guided(output.slice(1, 0, channels)),
      }),
    )
    await done(network)
    const result = await pictures(z)
    await done(latents)
    return result
  },
})

/** Embeddings that the caller has. */
function given({ imageEmbeds: embeds, negativeImageEmbeds: negative, num }: KandinskySettings): Embeddings | undefined {
  const all = (one: NdArray) => one.cast('f32').expand([num, one.shape[1] as number])
  return embeds && { embeds: all(embeds), negative: all(negative ?? embeds) }
}

const drawn = ({ prior }: KandinskyModel, settings: KandinskySettings, generators: readonly Generator[], signal?: AbortSignal) =>
  (prior as KandinskyPrior).sample({ ...settings, prompt: settings.prompt as string }, generators, signal)

type Prepare = (generator: Generator, picture: number, initialSigma: number) => Prepared

/** How a picture starts: from noise, from a given picture, or from noise around what stays of one. */
async function startsOf(
  { latents }: KandinskyModel,
  settings: KandinskySettings,
  { task, size }: KandinskyPlan,
): Promise<Prepare> {
  const shape = [1, latents.channels, size.height, size.width]
  if (task === 'text' || task === 'control')
    return (generator, _, initialSigma) => ({ x: generator.randn(shape).mul(initialSigma) })
  const pixels = { height: size.height * latents.factor, width: size.width * latents.factor }
  const image = await latents.encodeScaled(pictureAt(settings.image as NdArray, pixels))
  if (task !== 'inpaint')
    return (generator) => {
      const noise = generator.randn(shape)
      return { x: image, blend: noised(image, noise) }
    }
  const kept = keptLatents(settings.mask as NdArray, pixels, latents.factor)
  const masked = image.mul(kept)
  const channels = NdArray.concat([masked, kept], 1)
  const around = (known: NdArray, x: NdArray) =>
    known
      .mul(kept)
      .add(x.mul(kept.mul(-1).add(1)))
      .cast('f32')
  return (generator, _, initialSigma) => {
    const noise = generator.randn(shape).mul(initialSigma)
    return {
      x: noise,
      channels,
      blend: (x, { alpha, sigma }, call) => (call === 0 ? x : around(image.mul(alpha).add(noise.mul(sigma)), x)),
      postprocess: (x) => around(image, x),
    }
  }
}
