import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { input } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { cleanCaption, plainCaption, withReferences } from '../../text/index.ts'
import { type BaseSettings, baseOptions, bases, inWords, planOf } from '../deepfloyd-if/options.ts'
import { checkSize, openStage, runStage, type Stage, schedulerOf, stageParts, startFrom } from '../deepfloyd-if/stage.ts'
import { asBatch, fitted, levelsOf } from '../images/fit.ts'
import { build } from '../open/classes.ts'
import { network } from '../open/parts.ts'
import { type Page, page } from '../page.ts'
import type { BatchEntry } from '../parts/denoiser.ts'

const { image: _, mask: __, strength: ___, ...texts } = baseOptions.shape
const options = z.object({
  ...texts,
  /** The pictures that the prompt names, the first `[ref#1]`. */
  references: z.array(z.instanceof(NdArray)).default([]).meta({ apart: true }),
})
type Settings = z.output<typeof options> & Pick<BaseSettings, 'signal'>

const planned = (stage: Stage, settings: Settings) => {
  const { height = stage.side, width = stage.side } = settings
  checkSize(stage, height, width)
  withReferences(settings.prompt, settings.references.length, plainCaption)
  return planOf(bases, {
    settings: { ...settings, strength: undefined, mask: undefined },
    from: undefined,
    name: 'image',
    place: stage.place,
    schedulerOf: schedulerOf(stage, settings.scheduler),
  })
}

/**
 * Pictures from a prompt that mixes text and pictures, `a [ref#1] on a beach`: what Google's page on Imagen 2 shows, of which no paper
 * tells how. A reconstruction after the recipe that is published nearest (Hu et al. 2024, Instruct-Imagen): the U-Net of a first stage
 * attends to tokens of the named pictures behind those of the text. Guidance is away from no text and no pictures.
 */
export const imagen2: Page = page({
  classes: ['Imagen2Pipeline'],
  output: 'pictures',
  parts: { ...stageParts, reference_encoder: network(['ReferenceEncoder']) },
  options,
  open(parts, opened) {
    const stage = openStage(parts, opened, 1)
    const { config, weights, place } = parts.reference_encoder
    const width = stage.config.encoder_hid_dim
    if (width !== config.output_size)
      throw new ArgumentError(`${place}: output_size is ${config.output_size}, and the network takes texts of ${width} channels`)
    const programs = new Programs((count: number) => {
      const pictures = input('pictures', [1, count, 3, config.image_size, config.image_size])
      return compile({ outputs: { tokens: build('ReferenceEncoder', new Params(), config)(pictures) }, weights }, opened.compile)
    }, 1)
    return {
      ...stage,
      most: config.max_references,
      /** Tokens of one picture, all 0: what prompts without pictures are given, as in training. */
      nothing: NdArray.zeros([1, (config.image_size / config.patch_size) ** 2, config.output_size]),
      /** [1, R·P, D] of pictures as they are given. */
      async read(pictures: readonly NdArray[]): Promise<NdArray<'f32'>> {
        const size = { height: config.image_size, width: config.image_size }
        const all = pictures.map((one) => asBatch(fitted(levelsOf(one), { ...size, kernel: 'bicubic' })))
        const given = NdArray.concat(all).reshape([1, all.length, 3, size.height, size.width])
        return (await (await programs.get(all.length)).run({ pictures: given })).tokens as NdArray<'f32'>
      },
      forget: () => programs.release(),
      async release() {
        await programs.release()
        await stage.release()
      },
    }
  },
  plan: (model, settings) => {
    if (settings.references.length > model.most)
      throw new ArgumentError(`references: ${settings.references.length} pictures, and the model knows ${model.most}`)
    return inWords(planned(model, settings), settings, { enlarges: false })
  },
  async *generate(model, settings) {
    const { references, prompt, clean, height = model.side, width = model.side } = settings
    const plan = planned(model, settings)
    const cleaned = clean ? cleanCaption : plainCaption
    const words = withReferences(prompt, references.length, cleaned)
    const tokens = references.length > 0 ? await model.read(references) : model.nothing
    await model.done({ release: model.forget })
    const seeing = (entries: readonly BatchEntry[]): BatchEntry[] =>
      entries.map((entry, i) => {
        // Pictures are left out of the negative entry as they were left out in training: their tokens are 0.
        const own = i === entries.length - 1 ? tokens : tokens.mul(0)
        return { ...entry, context: NdArray.concat([entry.context as NdArray<'f32'>, own], 1) }
      })
    return yield* runStage(
      model,
      plan,
      { ...settings, prompt: words, negative: cleaned(settings.negative ?? ''), clean: false },
      {
        seeing,
        prepare: (generator, _, initialSigma) =>
          startFrom(generator, initialSigma, { shape: [1, model.channels, height, width], picture: undefined, mask: undefined }),
      },
    )
  },
})
