import { basename, resolve } from 'node:path'
import { z } from 'zod'
import { evaluateOptions } from '../recipes/evaluation/options.ts'
import { defineCommand, onInterrupt, printResult } from './command.ts'

export const evaluate = defineCommand({
  name: 'evaluate',
  summary: 'how good a model is',
  description: `Measures a model on pictures or captions that its training did not show.

Text to image, any pipeline: a judge, which is a small network that finds objects, counts how often the pictures show what 500 test captions say. The guidance scale is chosen before, on validation captions. Every model gets the same captions, of sticker scenes.

Stickers by class: the same judge counts how often a picture shows the sticker of its class in its style, class by class.

Films from captions of motion: a tracker follows what is unlike the background, and counts how often it is there throughout and moves, grows or appears as the caption says, on motions that training showed and on those that it did not.

Unconditional models of stickers: the squared Fréchet distance of their pictures from real ones, between Gaussians fitted to features of a small classifier. It is not an FID, which uses features of another network.

A classifier, an autoencoder, a CLIP, a judge: how often it is right, on real pictures.

ControlNets: how far pictures agree with 200 control images, and with their captions, beside the same without them; with --controlnet also two at once.

Language models of recipes: bits a byte of held-out texts beside those of 5-grams; and how likely, how varied and how new texts are that the model writes, and whether middles that it fills in fit.

Upscalers, one or all that are at hand (\`upscalers\`): each of them and resampling on the same pictures, made small in several ways and enlarged again.`,
  positional: ['model'],
  options: z.object({
    model: z.string().meta({
      description:
        'the folder of a model, or the name of a bundled one; a text-to-image model also as a file, or by its name on the hub; or upscalers',
    }),
    ...evaluateOptions.shape,
    device: z.enum(['cpu', 'webgpu', 'cuda']).default('cpu').meta({ description: 'where the network runs' }),
    json: z.boolean().default(false).meta({ description: 'print one line of JSON' }),
  }),
  examples: [
    ['langevin evaluate ddpm-stickers-32', 'a bundled model, in some minutes'],
    ['langevin evaluate runs/ddpm-stickers-32/model --num 256 --json', 'your own, quickly, for programs'],
    ['langevin evaluate stickers-t2i --num 100 --validation 50', 'a text-to-image model, on 100 captions'],
    ['langevin evaluate runs/stickers-vae/model', 'a part of a text-to-image model'],
    ['langevin evaluate stickers-controlnet-outline', 'a ControlNet, with the model that it is for'],
    ['langevin evaluate upscalers --num 200 --photographs photos/', 'upscalers and resampling side by side'],
    ['langevin evaluate sticker-classifier-32', 'the classifier that the others are measured with'],
  ],
  async run({ model, device, json, ...options }, io) {
    const engine = { device }
    const { measuredAs } = await import('../recipes/evaluation/measured-as.ts')
    const found = measuredAs(model)
    const context = { name: basename(resolve(found.path)), engine }
    const bars = (await import('./stages.ts')).stageBars(io.err)
    const watch = { ...context, signal: onInterrupt(), onStep: bars.update }
    try {
      const [evaluation, tables] = await measure()
      bars.stop()
      printResult(io, json, evaluation, () => tables.join('\n\n'))
    } finally {
      bars.stop()
    }

    /** What was measured, and its tables in columns. */
    async function measure(): Promise<[evaluation: object, tables: string[]]> {
      const [{ inColumns, ...tables }, sceneTables] = await Promise.all([
        import('../recipes/evaluation/tables.ts'),
        import('../recipes/evaluation/scene-tables.ts'),
      ])
      switch (found.as) {
        case 'text-to-image': {
          const { evaluateTextToImage } = await import('../recipes/evaluation/evaluate-scenes.ts')
          const { evaluation } = await evaluateTextToImage(found.path, found.data, options, watch)
          const { scoreTable, pairTable, guidanceTable, frechetTable, tokenTable, candidateTable } = sceneTables
          const all = [scoreTable, pairTable, guidanceTable, frechetTable, tokenTable, candidateTable].map((table) =>
            table(evaluation),
          )
          return [evaluation, all.filter((table) => table.length > 0).map(inColumns)]
        }
        case 'part': {
          const { evaluatePart } = await import('../recipes/evaluation/evaluate-scenes.ts')
          const evaluation = await evaluatePart(found.path, found, options, context)
          return [evaluation, [inColumns(sceneTables.partTable(evaluation))]]
        }
        case 'control': {
          const [{ evaluateControl }, { controlTable }] = await Promise.all([
            import('../recipes/evaluation/control.ts'),
            import('../recipes/evaluation/control-table.ts'),
          ])
          const { evaluation } = await evaluateControl(found.path, options, watch)
          return [evaluation, [inColumns(controlTable(evaluation))]]
        }
        case 'upscalers': {
          const [{ evaluateUpscalers, MOST_PICTURES }, { upscalerTables }] = await Promise.all([
            import('../recipes/evaluation/upscalers.ts'),
            import('../recipes/evaluation/upscaler-tables.ts'),
          ])
          const { num, photographs, classifier } = options
          const asked = { num: Math.min(num, MOST_PICTURES), photographs, classifier, upscalers: found.upscalers }
          const evaluation = await evaluateUpscalers(asked, watch)
          return [evaluation, upscalerTables(evaluation).map(inColumns)]
        }
        case 'classes': {
          const [{ evaluateClassToImage }, tables] = await Promise.all([
            import('../recipes/evaluation/class-to-image.ts'),
            import('../recipes/evaluation/class-tables.ts'),
          ])
          const { evaluation } = await evaluateClassToImage(found.path, options, watch)
          const { classScoreTable, byClassTable, classGuidanceTable, classFrechetTable } = tables
          const all = [
            classScoreTable,
            byClassTable,
            ...(evaluation.sweep.length > 0 ? [classGuidanceTable] : []),
            classFrechetTable,
          ]
          return [evaluation, all.map((table) => inColumns(table(evaluation)))]
        }
        case 'films': {
          const { evaluateFilms, filmTable } = await import('../recipes/evaluation/films.ts')
          const evaluation = await evaluateFilms(found.path, options, watch)
          return [evaluation, [inColumns(filmTable(evaluation))]]
        }
        case 'film-autoencoder': {
          const { evaluateFilmCoding, filmCodingTable } = await import('../recipes/evaluation/film-autoencoder.ts')
          const evaluation = await evaluateFilmCoding(found.path, options, watch)
          return [evaluation, [inColumns(filmCodingTable(evaluation))]]
        }
        case 'later-stage': {
          const [{ evaluateStage }, { stageTable }] = await Promise.all([
            import('../recipes/evaluation/later-stage.ts'),
            import('../recipes/evaluation/stage-table.ts'),
          ])
          const { evaluation } = await evaluateStage(found.path, options, watch)
          return [evaluation, [inColumns(stageTable(evaluation))]]
        }
        case 'language': {
          const [{ evaluateLanguage }, { bitsTable, infillingTable, writtenTable }] = await Promise.all([
            import('../recipes/evaluation/language.ts'),
            import('../recipes/evaluation/language-table.ts'),
          ])
          const evaluation = await evaluateLanguage(found.path, options, watch)
          const all = [bitsTable, writtenTable, infillingTable].map((table) => table(evaluation))
          return [evaluation, all.filter((table) => table.length > 0).map(inColumns)]
        }
        case 'classifier': {
          const { evaluateClassifier } = await import('../recipes/evaluation/evaluate.ts')
          const evaluation = await evaluateClassifier(found.path, options, context)
          return [evaluation, [inColumns(tables.accuracyTable(evaluation))]]
        }
        case 'pictures': {
          const { evaluateDdpm } = await import('../recipes/evaluation/evaluate.ts')
          const { evaluation } = await evaluateDdpm(found.path, options, watch)
          const { dimension, classifier, likelihood, model: name } = evaluation
          const heading = `squared Fréchet distance in ${dimension} features of ${classifier}, ± standard error`
          return [
            evaluation,
            [
              `${heading}\n${inColumns(tables.distanceTable(evaluation))}`,
              inColumns(tables.nearestTable(evaluation)),
              ...(likelihood ? [inColumns(tables.likelihoodTable(name, likelihood))] : []),
            ],
          ]
        }
      }
    }
  },
})
