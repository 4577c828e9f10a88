import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readJson } from '../../checkpoints/json.ts'
import type { ComposedScene } from '../../data/index.ts'
import { type Finding, loadDetector, type SceneDetector } from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { HELD_OUT, type HeldOutSet, heldOutSet } from '../held-out.ts'
import { trainedModel } from '../stored.ts'
import { gridSampling } from '../tasks/text-to-image/fixed-prompts.ts'
import { bestOf, openStages, type SampledStages } from './composed-samplers.ts'
import { commonScenes } from './evaluate-scenes.ts'
import { fitGaussian, frechetTo } from './frechet.ts'
import { type EvaluateContext, stepsWithin } from './options.ts'
import { type Effort, provenanceOf } from './provenance.ts'
import { type Distance, distanceWithError } from './quality.ts'
import type { CaptionSampler } from './sampler.ts'
import { type Rates, ratesOf, scoreScene } from './scoring.ts'
import { asLargeAs, bestGuidance } from './text-to-image.ts'

/** A model as it is compared with others. */
export interface Entrant {
  /** As tables call it. */
  readonly name: string
  /** A cascade's, or the model alone. `steps` and `guidance` of the first stage's options are the run's. */
  readonly stages: SampledStages
  /** Of so many pictures of a caption the one that CLIP finds best is taken. */
  readonly candidates?: number | undefined
}

export interface ComparedModel {
  readonly name: string
  /** The type of its recipe; of a model without one nothing. */
  readonly recipe?: string | undefined
  readonly stages: number
  readonly candidates: number
  readonly steps: number
  readonly guidance: number
  /** Pixels a side of its pictures. */
  readonly side: number
  readonly rates: Rates
  /** To other real pictures, in features of the judge. */
  readonly frechet: Distance
  readonly parameters?: number | undefined
  readonly own: readonly Effort[]
  readonly before: readonly Effort[]
  /** One picture alone, everything loaded. */
  readonly seconds: number
}

export interface Comparison {
  readonly kind: 'comparison'
  /** Test captions. */
  readonly captions: number
  readonly seed: number
  readonly judge: string
  /** What the judge finds in real pictures of the captions. */
  readonly real: { readonly rates: Rates; readonly frechet: Distance }
  readonly models: readonly ComparedModel[]
}

export interface CompareOptions {
  /** Test captions. */
  readonly num: number
  /** Validation captions, on which guidance is chosen for a model whose folder and options do not say it; 0 takes the usual one. */
  readonly validation: number
  readonly seed: number
  readonly batch: number
  readonly steps?: number | undefined
  readonly judge: string
  readonly rank: string
}

/** Strengths of guidance that are tried. */
const SWEEP = [1, 2, 3, 4, 5]
/** Pictures whose time is taken, one by one, after a first. */
const TIMED = 2

/** The same captions for any number of models, and what the judge finds in real pictures of them. */
export async function openComparison(options: CompareOptions, { engine = {}, signal, onStep }: Omit<EvaluateContext, 'name'>) {
  const { num, validation: chosenBy, seed, batch, judge: judgeName } = options
  const data = commonScenes()
  const judge = loadDetector(trainedModel(judgeName), engine)
  const size = judge.config.sample_size
  const test = await heldOutSet(data, 'test', { size, count: Math.min(num, HELD_OUT) })
  const reference = await heldOutSet(data, 'validation', { size, count: test.captions.length })
  const images = test.render(test.scenes)
  const to = frechetTo(fitGaussian((await judge.detect(reference.render(reference.scenes))).features))
  const root = new Generator(0)
  const scored = async (set: string, pictures: NdArray<'f32'>) => {
    const { found, features } = await judge.detect(pictures)
    return { rates: ratesIn(found, test), frechet: distanceWithError(to, features, root.fork(set)) }
  }
  const real = await scored('real pictures', images)
  return {
    captions: test.captions,
    /** Real pictures of the captions, and what is found in them. */
    images,
    real,
    /** @returns the numbers, and the pictures of the test captions as large as the judge takes them */
    async measure({ name, stages, candidates = 1 }: Entrant): Promise<{ model: ComparedModel; pictures: NdArray<'f32'> }> {
      const [{ model, options: given = {} }, ...later] = stages
      const { steps: own, guidance: said, ...run } = given as { steps?: number; guidance?: number }
      const steps = own ?? options.steps ?? stepsWithin(model, gridSampling.steps)
      const alone = await openStages([{ model, options: run }, ...later], { batch, ...engine })
      const sampler = candidates > 1 ? await bestOf(alone, { candidates, rank: options.rank, ...engine }) : alone
      try {
        const guidance = said ?? guidanceIn(model) ?? (await chosen(alone, steps))
        const settings = { steps, guidance, seed, signal }
        const made = await sampler.generate(test.captions, {
          ...settings,
          onPictures: (done, total) => onStep?.({ stage: `${name}, guidance ${guidance}`, done, total }),
        })
        const seconds = await timed((caption) => sampler.generate([caption], settings))
        const pictures = asLargeAs(size, made)
        const { recipes, ...provenance } = provenanceOf([
          ...stages.map((stage) => stage.model),
          ...(candidates > 1 ? [trainedModel(options.rank)] : []),
        ])
        const found = { ...(await scored(name, pictures)), ...provenance }
        const shape = { recipe: recipes[0], stages: stages.length, candidates, steps, guidance, side: made.shape[2] as number }
        return { model: { name, ...shape, ...found, seconds }, pictures }
      } finally {
        await sampler.release()
      }
    },
    release: () => judge.release(),
  }

  /** The guidance with which most pictures of validation captions are exact. */
  async function chosen(sampler: CaptionSampler, steps: number): Promise<number> {
    if (chosenBy === 0) return gridSampling.guidance
    const validation = await heldOutSet(data, 'validation', { size, count: chosenBy })
    const points: { guidance: number; rates: Rates }[] = []
    for (const guidance of SWEEP) {
      const stage = `validation, guidance ${guidance}`
      const onPictures = (done: number, total: number) => onStep?.({ stage, done, total })
      const made = await sampler.generate(validation.captions, { steps, guidance, seed, signal, onPictures })
      points.push({ guidance, rates: ratesIn(await foundIn(judge, asLargeAs(size, made)), validation) })
    }
    return bestGuidance(points)
  }

  /** Seconds of a call, after a first. */
  async function timed(work: (caption: string) => Promise<unknown>): Promise<number> {
    const [first = '', ...others] = test.captions
    await work(first)
    const began = performance.now()
    for (let i = 0; i < TIMED; i++) await work(others[i] ?? first)
    return (performance.now() - began) / 1000 / TIMED
  }
}

const foundIn = async (judge: SceneDetector, pictures: NdArray<'f32'>): Promise<readonly Finding[]> =>
  (await judge.detect(pictures)).found

const ratesIn = (found: readonly Finding[], { scenes, details }: HeldOutSet): Rates =>
  ratesOf(found.map((finding, i) => scoreScene(scenes[i] as ComposedScene, details[i]?.described, finding)))

/** The guidance that a published model was measured with. */
function guidanceIn(folder: string): number | undefined {
  const file = join(folder, 'evaluation.json')
  const { guidance } = existsSync(file) ? readJson(file) : {}
  return typeof guidance === 'number' ? guidance : undefined
}
