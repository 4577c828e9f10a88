import { basename, join, resolve } from 'node:path'
import { readJson } from '../../checkpoints/json.ts'
import { ArgumentError } from '../../core/errors.ts'
import type { ComposedScene } from '../../data/index.ts'
import { foreground, imagesOf, overlap, type Pixels, toPixels } from '../../images/index.ts'
import { createPromptBatches, type Finding, loadDetector, openNetworkAt } from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { recipeFile } from '../../training/history.ts'
import { scenesSchema } from '../data.ts'
import { heldOutSet } from '../held-out.ts'
import { trainedModel } from '../stored.ts'
import { hintsOf, sceneCondition } from '../tasks/controlnet/conditions.ts'
import { openBase } from '../tasks/controlnet/network.ts'
import { type Condition, controlnetSchema } from '../tasks/controlnet/schema.ts'
import { gridSampling } from '../tasks/text-to-image/fixed-prompts.ts'
import { bootstrapRates, type Count, type Rate } from './bootstrap.ts'
import type { EvaluateContext, EvaluateOptions } from './options.ts'
import { facts, scoreScene } from './scoring.ts'
import { asLargeAs } from './text-to-image.ts'

/** What is asked of a picture beside what its caption says: of each object, whether it stands with its centre within its own box. */
export const controlFacts = [...facts, 'placed'] as const
export type ControlFact = (typeof controlFacts)[number]

/** How far pictures agree with maps and captions. */
export interface ControlScores {
  readonly name: string
  /** The mean intersection over union of what stands before the background in the picture and in the map, with its standard error. */
  readonly overlap: { readonly mean: number; readonly error: number }
  readonly rates: Readonly<Record<ControlFact, Rate>>
}

export interface ControlEvaluation {
  readonly kind: 'controlnet'
  readonly model: string
  /** The model that it controls. */
  readonly base: string
  readonly condition: Condition
  /** Held-out maps, each with its caption. */
  readonly maps: number
  readonly steps: number
  readonly guidance: number
  readonly seed: number
  readonly judge: string
  readonly scores: readonly ControlScores[]
}

/** Maps that a ControlNet is measured on at most. */
export const MOST_MAPS = 200

/** What a trained ControlNet's folder says of it. @throws ArgumentError for one that did not learn from scenes */
function controlOf(folder: string) {
  const recipe = controlnetSchema.partial().safeParse(readJson(join(folder, recipeFile)))
  const { data, condition, pretrained_model_name_or_path: base, resolution } = recipe.data ?? {}
  if (data?.kind !== 'scenes' || condition === undefined || base === undefined)
    throw new ArgumentError(`${folder}: only ControlNets of scenes can be measured, whose content is known`)
  return { data: scenesSchema.parse(data), condition, base, size: resolution as number }
}

/**
 * Measures a ControlNet of scenes on maps of scenes that its training did not show: how far pictures agree with their maps, and how often a judge
 * finds what their captions say; beside it real pictures, the base without the map, and the pictures against maps of other scenes, which is chance.
 * With `controlnet`, a second one, also both at once, their residuals added.
 *
 * @returns the numbers, and maps and pictures with and without them
 */
export async function evaluateControl(
  folder: string,
  {
    num,
    steps = gridSampling.steps,
    guidance = gridSampling.guidance,
    seed,
    batch,
    judge: judgeName,
    controlnet: other,
  }: EvaluateOptions,
  { name, engine = {}, signal, onStep }: EvaluateContext,
) {
  const own = controlOf(folder)
  const second = other === undefined ? undefined : { folder: trainedModel(other), name: basename(resolve(other)) }
  const added = second && { ...second, ...controlOf(second.folder) }
  if (added && added.base !== own.base)
    throw new ArgumentError(`${added.name} is for ${added.base} and ${name} for ${own.base}: both cannot act at once`)
  const base = await openBase(own.base)
  const test = await heldOutSet(own.data, 'test', { size: own.size, count: Math.min(num, MOST_MAPS) })
  const { scenes, captions, details } = test
  const mapsOf = (condition: Condition) =>
    scenes.map((scene) => sceneCondition(condition, scene, { side: own.size, render: test.render }))
  const maps = mapsOf(own.condition)
  const judge = loadDetector(trainedModel(judgeName), engine)
  const sampled = async (stage: string, controls: readonly { readonly folder: string; readonly maps: readonly Pixels[] }[]) => {
    const nets = await Promise.all(controls.map((one) => openNetworkAt(one.folder, 'a ControlNet', ['ControlNetModel'])))
    const sampler = createPromptBatches({ ...base, size: own.size, controls: nets }, { batch: Math.min(batch, 32), ...engine })
    const onPictures = (done: number, total: number) => onStep?.({ stage, done, total })
    try {
      const hints = controls.map((one) => hintsOf(one.maps))
      const pictures = await sampler.generate(captions, { steps, guidance, seed, hints, signal, onPictures })
      return pictures.clamp(-1, 1) as NdArray<'f32'>
    } finally {
      await sampler.release()
    }
  }
  const root = new Generator(0)
  const scored = async (
    set: string,
    pictures: NdArray<'f32'>,
    of: readonly Pixels[] = maps,
    shift = 0,
  ): Promise<ControlScores> => {
    const { found } = await judge.detect(asLargeAs(judge.config.sample_size, pictures))
    const masks = imagesOf(pictures).map((picture) => foreground(toPixels(picture)))
    const at = (i: number) => (i + shift) % scenes.length
    const overlaps = masks.map((mask, i) => overlap(mask, foreground(of[at(i)] as Pixels)))
    const tallies = found.map((finding, i) => {
      const scene = scenes[at(i)] as ComposedScene
      return { ...scoreScene(scene, details[at(i)]?.described, finding), placed: placed(scene, finding) }
    })
    return { name: set, overlap: meanOf(overlaps), rates: bootstrapRates(controlFacts, tallies, root.fork(set)) }
  }
  try {
    const made = await sampled('with maps', [{ folder, maps }])
    const plain = await sampled('without maps', [])
    const both =
      added &&
      (await sampled('with both maps', [
        { folder, maps },
        { folder: added.folder, maps: mapsOf(added.condition) },
      ]))
    const scores = [
      await scored('real pictures', test.render(scenes)),
      await scored(name, made),
      ...(both ? [await scored(`${name} and ${added?.name}, added`, both)] : []),
      await scored('without a map', plain),
      await scored(`${name}, maps of other scenes`, made, maps, 1),
    ]
    const { condition } = own
    const settings = { steps, guidance, seed, judge: judgeName }
    const evaluation: ControlEvaluation = {
      ...{ kind: 'controlnet', model: name, base: own.base, condition, maps: maps.length, ...settings, scores },
    }
    return { evaluation, maps, made, plain, captions }
  } finally {
    await judge.release()
  }
}

/** Of each object of a scene, whether one of its name is found with its centre within its box. */
function placed({ objects }: ComposedScene, { objects: found }: Finding): Count {
  const right = objects.filter(({ icon, x, y, size }) =>
    found.some((one) => one.name === icon.name && Math.max(Math.abs(one.x - x), Math.abs(one.y - y)) < size / 2),
  )
  return { right: right.length, asked: objects.length }
}

function meanOf(values: readonly number[]): { mean: number; error: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length - 1)
  return { mean, error: Math.sqrt(variance / values.length) }
}
