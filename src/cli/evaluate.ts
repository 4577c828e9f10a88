import { basename, resolve } from 'node:path'
import { z } from 'zod'
import type { ScenesConfig } from '../recipes/data.ts'
import { type EvaluateContext, type EvaluateOptions, evaluateOptions } from '../recipes/evaluation/evaluate.ts'
import { defineCommand, type Io, onInterrupt, printResult } from './command.ts'

export const evaluate = defineCommand({
  name: 'evaluate',
  summary: 'how good a model of stickers is',
  description:
    'Samples a model and measures how far its pictures lie from real ones: squared Fréchet distances between Gaussians fitted to the features of a small classifier trained on the same data. The same is measured for real pictures, for a Gaussian fitted to every pixel and for noise, as the numbers say little by themselves. They are not FIDs, which are taken in the features of another network. Of a classifier, the share of right answers is counted. Of a text-to-image model, a judge counts how often its pictures show what held-out captions say.',
  positional: ['model'],
  options: z.object({
    model: z.string().meta({ description: 'the folder of a model that langevin trained, or the name of a bundled one' }),
    ...evaluateOptions.shape,
    device: z.enum(['cpu', 'webgpu', 'cuda']).default('cpu').meta({ description: 'what runs the network' }),
    json: z.boolean().default(false).meta({ description: 'print one line of JSON' }),
  }),
  examples: [
    ['langevin evaluate ddpm-stickers-32', 'a bundled model, in some minutes'],
    ['langevin evaluate runs/ddpm-stickers-32/model --num 256 --json', 'your own, quickly, for programs'],
    ['langevin evaluate runs/stickers-t2i/model', 'a text-to-image model by its judge; its parts likewise'],
    ['langevin evaluate sticker-classifier-32', 'the classifier that the others are measured with'],
  ],
  async run({ model, device, json, ...options }, io) {
    const [{ evaluateClassifier, evaluateDdpm, isClassifier }, { sceneModel }, tables, { modelFolder }, { stageBars }] =
      await Promise.all([
        import('../recipes/evaluation/evaluate.ts'),
        import('../recipes/evaluation/evaluate-scenes.ts'),
        import('../recipes/evaluation/tables.ts'),
        import('../pipelines/index.ts'),
        import('./stages.ts'),
      ])
    const folder = modelFolder(model)
    const context = { name: basename(resolve(folder)), engine: { device } }
    const scenes = sceneModel(folder)
    if (scenes) return evaluateScenes(folder, scenes, options, { context, json, io })
    if (isClassifier(folder)) {
      const evaluation = await evaluateClassifier(folder, options, context)
      return printResult(io, json, evaluation, (found) => tables.inColumns(tables.accuracyTable(found)))
    }
    const bars = stageBars(io.err)
    try {
      const { evaluation } = await evaluateDdpm(folder, options, {
        ...context,
        signal: onInterrupt(),
        onStep: bars.update,
      })
      bars.stop()
      printResult(io, json, evaluation, (found) =>
        [
          `squared Fréchet distance in ${found.dimension} features of ${found.classifier}, ± standard error`,
          tables.inColumns(tables.distanceTable(found)),
          '',
          tables.inColumns(tables.nearestTable(found)),
          ...(found.likelihood ? ['', tables.inColumns(tables.likelihoodTable(found.model, found.likelihood))] : []),
        ].join('\n'),
      )
    } finally {
      bars.stop()
    }
  },
})

interface SceneEvaluation {
  readonly context: EvaluateContext
  readonly json: boolean
  readonly io: Io
}

/** A text-to-image model of scenes, or a part of one. */
async function evaluateScenes(
  folder: string,
  model: { readonly kind: string; readonly data: ScenesConfig },
  options: EvaluateOptions,
  { context, json, io }: SceneEvaluation,
): Promise<void> {
  const [{ evaluatePart, evaluateTextToImage }, tables, { inColumns }, { stageBars }] = await Promise.all([
    import('../recipes/evaluation/evaluate-scenes.ts'),
    import('../recipes/evaluation/scene-tables.ts'),
    import('../recipes/evaluation/tables.ts'),
    import('./stages.ts'),
  ])
  if (model.kind !== 'text-to-image') {
    const evaluation = await evaluatePart(folder, model, options, context)
    return printResult(io, json, evaluation, (found) => inColumns(tables.partTable(found)))
  }
  const bars = stageBars(io.err)
  try {
    const watch = { ...context, signal: onInterrupt(), onStep: bars.update }
    const { evaluation } = await evaluateTextToImage(folder, model.data, options, watch)
    bars.stop()
    printResult(io, json, evaluation, (found) =>
      [tables.scoreTable(found), tables.guidanceTable(found), tables.frechetTable(found)].map(inColumns).join('\n\n'),
    )
  } finally {
    bars.stop()
  }
}
