import { roundHalfEven } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { GlideTokenizer } from '../../text/index.ts'
import { bilinear } from '../images/bilinear.ts'
import { network, optional, type Part } from '../open/parts.ts'
import { type Page, type Progress, page } from '../page.ts'
import { generatorsOf } from '../sampling/run.ts'
import { clipTokenizerIn, noisedClip } from './clip.ts'
import { glideNetwork } from './model.ts'
import { glideOptions } from './options.ts'
import { knownOf, planOf } from './plan.ts'

const unet = () => optional(network(['GlideText2Im']))
const tokenizer: Part<GlideTokenizer> = { open: (source) => GlideTokenizer.open(source.tokenizer('tokenizer', [])) }

/** Small pictures from a prompt in the time's embedding and in every attention, and their enlargement: GLIDE (Nichol et al. 2021). */
export const glidePage: Page = page({
  classes: ['GLIDE'],
  output: 'pictures',
  parts: {
    ...{ base: unet(), upsample: unet(), base_inpaint: unet(), upsample_inpaint: unet(), tokenizer },
    ...{ clip_image: optional(network(['GlideClipImage'])), clip_text: optional(network(['GlideClipText'])) },
  },
  options: glideOptions,
  open({ tokenizer, clip_image: image, clip_text: text, ...nets }, { source, compile, done }) {
    const working = (one: typeof nets.base) => one && glideNetwork(one, tokenizer, compile)
    const clip = image && text ? noisedClip(image, text, clipTokenizerIn(source), compile) : undefined
    const [base, upsample] = [working(nets.base), working(nets.upsample)]
    const [baseInpaint, upsampleInpaint] = [working(nets.base_inpaint), working(nets.upsample_inpaint)]
    return {
      ...{ place: source.place, base, upsample, baseInpaint, upsampleInpaint, clip, done },
      async release() {
        for (const part of [base, upsample, baseInpaint, upsampleInpaint, clip]) await part?.release()
      },
    }
  },
  plan(model, settings) {
    const { base, larger, timesteps, largerTimesteps, guidance } = planOf(model, settings)
    const side = (larger ?? base).side
    return {
      className: 'GLIDE',
      settings: {
        Steps: timesteps.length,
        Spacing: settings.spacing,
        'CFG scale': guidance,
        Size: `${side}x${side}`,
        'CLIP guidance': settings.clipGuidance,
        'Super-resolution steps': settings.superResSteps,
        'Super-resolution spacing':
          largerTimesteps.length > 0 && settings.superResSteps === undefined ? settings.superResSpacing : undefined,
        Temperature: larger && settings.temperature,
      },
    }
  },
  async *generate(model, { signal, ...settings }) {
    const { base, larger, timesteps, largerTimesteps, guidance } = planOf(model, settings)
    const { prompt, clipGuidance, seed, num, mask, temperature } = settings
    const gradient = clipGuidance === undefined ? undefined : await model.clip?.gradient(prompt)
    const generators = generatorsOf(seed, num)
    const common = { prompt, signal }
    const smalls: NdArray<'f32'>[] = []
    for (const [k, generator] of generators.entries()) {
      const known = knownOf(settings, base.side, base.side)
      const scaled = gradient && (async (x: NdArray, t: number) => (await gradient(x, t)).mul(clipGuidance as number))
      const run = {
        ...common,
        guidance,
        timesteps,
        sampler: 'ancestral' as const,
        temperature: 1,
        known,
        gradient: scaled,
        generator,
      }
      smalls.push(yield* told(base.sample(run), { picture: k, num, stage: 0 }))
    }
    await model.done(base)
    if (model.clip) await model.done(model.clip)
    if (!larger) return { type: 'pictures', pictures: NdArray.concat(smalls) }
    const made: NdArray<'f32'>[] = []
    for (const [k, generator] of generators.entries()) {
      // The network learned from pictures of 8 bits.
      const levels = (smalls[k] as NdArray<'f32'>).add(1).mul(127.5).map(roundHalfEven).div(127.5).sub(1).cast('f32')
      const small = bilinear(levels, { height: larger.side, width: larger.side })
      const known = knownOf(settings, base.side, larger.side)
      const sampler = mask ? ('ancestral' as const) : ('ddim' as const)
      const run = { ...common, guidance: 1, timesteps: largerTimesteps, sampler, temperature, small, known, generator }
      made.push(yield* told(larger.sample(run), { picture: k, num, stage: 1 }))
    }
    await model.done(larger)
    return { type: 'pictures', pictures: NdArray.concat(made) }
  },
})

/** One picture's steps as those of a stage of all pictures. */
async function* told(
  steps: AsyncGenerator<Progress, NdArray<'f32'>, void>,
  { picture, num, stage }: { readonly picture: number; readonly num: number; readonly stage: number },
): AsyncGenerator<Progress, NdArray<'f32'>, void> {
  for (let next = await steps.next(); ; next = await steps.next()) {
    if (next.done) return next.value
    const { done, total } = next.value
    yield { ...next.value, picture, stage, done: picture * total + done, total: num * total }
  }
}
