import { join } from 'node:path'
import { writeAtomic } from '../../checkpoints/atomic.ts'
import { writeJson } from '../../checkpoints/json.ts'
import { evaluateControl } from '../evaluation/control.ts'
import { evaluatePart, evaluateTextToImage } from '../evaluation/evaluate-scenes.ts'
import { evaluateStage, isLaterStage } from '../evaluation/later-stage.ts'
import type { EvaluateContext, EvaluateOptions } from '../evaluation/options.ts'
import { partMeasures } from '../evaluation/parts.ts'
import { evaluateUpscalers, MOST_PICTURES } from '../evaluation/upscalers.ts'
import { controlnetType } from '../tasks/controlnet/job.ts'
import { upscalerType } from '../tasks/upscaler/upscaler.ts'
import { wrapped } from './common.ts'
import { controlCard } from './controlnet.ts'
import { laterStageCard } from './later-stage.ts'
import { partCard } from './part.ts'
import type { SceneCard } from './scene-common.ts'
import { textToImageCard } from './text-to-image.ts'
import { upscalerCard } from './upscaler.ts'

/** Writes the card of a model of scenes, with its pictures and its numbers, into a folder that has the model. */
export async function publishScenes(
  card: SceneCard,
  { evaluate, ...context }: Omit<EvaluateContext, 'name'> & { readonly evaluate: EvaluateOptions },
): Promise<void> {
  const { dir, name, run, data } = card
  const type = String(run.recipe.recipe)
  const watch = { ...context, name }
  const save = (evaluation: object, text: string) => {
    writeJson(join(dir, 'evaluation.json'), { ...evaluation })
    writeAtomic(join(dir, 'README.md'), wrapped(text))
  }
  if (Object.hasOwn(partMeasures, type)) {
    const evaluation = await evaluatePart(dir, { kind: type, data }, evaluate, watch)
    return save(evaluation, partCard(card, evaluation))
  }
  if (type === upscalerType.name) {
    const { num, photographs, classifier } = evaluate
    const asked = { num: Math.min(num, MOST_PICTURES), photographs, classifier, upscalers: [dir] }
    const evaluation = await evaluateUpscalers(asked, watch)
    return save({ ...evaluation, model: name }, upscalerCard(card, evaluation))
  }
  if (type === controlnetType.name) {
    const found = await evaluateControl(dir, evaluate, watch)
    return save(found.evaluation, await controlCard(card, found))
  }
  if (isLaterStage(dir)) {
    const found = await evaluateStage(dir, evaluate, watch)
    return save(found.evaluation, await laterStageCard(card, found))
  }
  const found = await evaluateTextToImage(dir, data, evaluate, watch)
  save(found.evaluation, await textToImageCard(card, found))
}
