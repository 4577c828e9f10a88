import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { basename } from '../runtime/system.ts'
import { loadPipeline, type Pipeline, type RunInput } from './load.ts'
import type { Generation, LoadOptions, Plan, Result } from './page.ts'

/** A stage of a cascade: a model, how it is opened, and options of its own. */
export interface CascadeStage {
  readonly model: string
  readonly load?: LoadOptions & Readonly<Record<string, unknown>>
  readonly options?: Readonly<Record<string, unknown>>
}

type Options = Readonly<Record<string, unknown>>

/** What later stages are told as the first one is, where they take it. */
const shared = ['prompt', 'negative', 'clean'] as const

const takes = ({ schema }: Pipeline, option: string): boolean => option in schema.shape

/** Whether a stage takes a picture for each of a run's at once; else it runs once for each. */
const takesEach = ({ schema }: Pipeline): boolean =>
  (schema.shape.image as { meta?: () => { readonly each?: boolean } | undefined } | undefined)?.meta?.()?.each === true

/**
 * A cascade (Ho et al. 2022b): models that go on from one another's pictures. Each stage is opened, runs and is freed before the next,
 * so that memory is bounded by the largest. The run's options are the first stage's; later ones share its prompts, and have their own
 * options beside them and their pipeline's defaults otherwise. Picture k has the seed `seed + k` in every stage, and each stage begins
 * with that seed's first numbers, so that it makes what it would make alone. Pictures go on as the network gave them, not rounded to
 * levels; a picture that the first stage starts from is also the `original` of later ones, and its mask theirs.
 *
 * @throws ArgumentError for a stage that takes no picture, and what `loadPipeline` throws
 */
export async function loadCascade(stages: readonly CascadeStage[]): Promise<Pipeline> {
  const opened: Pipeline[] = []
  try {
    for (const { model, load } of stages) opened.push(await loadPipeline(model, { keep: false, ...load }))
    for (const [i, stage] of opened.entries()) checkStage(stage, i)
  } catch (error) {
    for (const pipeline of opened) await pipeline.release()
    throw error
  }
  const [first, ...later] = opened as [Pipeline, ...Pipeline[]]
  const own = (i: number): Options => stages[i]?.options ?? {}
  const handing = later.some((stage) => stage.lacks.includes('text_encoder') && takes(stage, 'promptEmbeds'))

  /** What a stage is told, by the run's options and its own. */
  const optionsOf = (i: number, given: RunInput): Options => {
    if (i === 0) return { ...withoutSignal(given), ...own(0) }
    const stage = opened[i] as Pipeline
    const { image: original, mask, ...rest } = given as Options
    return {
      ...Object.fromEntries(shared.flatMap((name) => (name in rest && takes(stage, name) ? [[name, rest[name]]] : []))),
      ...(original !== undefined && takes(stage, 'original') && { original, ...(mask !== undefined && { mask }) }),
      ...own(i),
    }
  }
  /** What a stage hands on: unmarked pictures, or latents, with what it knows of the prompts. */
  const handingOn = (i: number): Options => {
    const [stage, next] = [opened[i] as Pipeline, opened[i + 1]]
    return {
      ...(next && takes(stage, 'watermark') && { watermark: false }),
      ...(next && takes(next, 'lowResLatents') && takes(stage, 'output') && { output: 'latents' }),
      ...(i === 0 && handing && takes(stage, 'handsOn') && { handsOn: true }),
    }
  }

  return {
    className: first.className,
    place: first.place,
    schema: first.schema,
    lacks: first.lacks,
    ranker: first.ranker,
    output: (opened.at(-1) as Pipeline).output,
    plan(given): Plan {
      const plan = first.plan(optionsOf(0, given))
      const place = NdArray.zeros([3, 64, 64])
      const stagesInWords = later.map((stage, i) => {
        const { settings } = stage.plan({ ...optionsOf(i + 1, given), image: place })
        const words = Object.entries(settings).filter(([, value]) => value !== undefined)
        return [`Stage ${i + 2}`, [basename(stage.place), ...words.map(([name, value]) => `${name}: ${value}`)].join(', ')]
      })
      return { ...plan, settings: { ...plan.settings, ...Object.fromEntries(stagesInWords) } }
    },
    async *generate(given): Generation {
      const { seed = 0 } = first.schema.parse(withoutSignal(given)) as { readonly seed?: number }
      let made = yield* first.generate({ ...optionsOf(0, given), ...handingOn(0), signal: given.signal })
      const { conditions } = made as Pictures
      await first.release()
      for (const [k, stage] of later.entries()) {
        const i = k + 1
        const told = { ...optionsOf(i, given), ...conditionsFor(stage, conditions) }
        const options = { ...told, ...handingOn(i), signal: given.signal }
        made = yield* numbered(enlarged(stage, options, { seed, from: made }), i)
        await stage.release()
      }
      return made
    },
    async release() {
      for (const stage of opened) await stage.release()
    },
  }
}

type Pictures = Extract<Result, { type: 'pictures' }>

const withoutSignal = ({ signal: _, ...options }: RunInput): Options => options

function checkStage(stage: Pipeline, i: number): void {
  const which = `stage ${i + 1} of the cascade, ${stage.place}, is a ${stage.className}`
  if (stage.output !== 'pictures') throw new ArgumentError(`${which}, which makes ${stage.output}: a cascade is of pictures`)
  if (i > 0 && !takes(stage, 'image'))
    throw new ArgumentError(`${which}, which takes no picture: only the first of a cascade starts from nothing`)
}

/** The states of the prompts, for a stage that cannot read them itself. */
function conditionsFor(stage: Pipeline, conditions: Options | undefined): Options {
  if (!stage.lacks.includes('text_encoder') || !takes(stage, 'promptEmbeds') || !conditions) return {}
  return { prompt: '', negative: undefined, ...conditions }
}

/** What a stage makes of each picture. */
async function* enlarged(
  stage: Pipeline,
  options: RunInput,
  { seed, from }: { readonly seed: number; readonly from: Result },
): Generation {
  const latents = from.type === 'latents'
  const all = latents ? from.latents : (from as Pictures).pictures
  const count = all.shape[0] as number
  const seeded = takes(stage, 'seed')
  if (!latents && takesEach(stage)) return yield* stage.generate({ ...options, image: all, seed, num: count })
  const made: NdArray<'f32'>[] = []
  for (let picture = 0; picture < count; picture++) {
    const one = all.slice(0, picture, picture + 1)
    const given = latents ? { lowResLatents: one } : { image: one.reshape(one.shape.slice(1)) }
    const steps = stage.generate({ ...options, ...given, ...(seeded && { seed: seed + picture }) })
    let next = await steps.next()
    for (; !next.done; next = await steps.next()) {
      const { done, total } = next.value
      yield { ...next.value, picture, done: picture * total + done, total: count * total }
    }
    made.push((next.value as Pictures).pictures)
  }
  return { type: 'pictures', pictures: NdArray.concat(made) }
}

async function* numbered(steps: Generation, stage: number): Generation {
  for (let next = await steps.next(); ; next = await steps.next()) {
    if (next.done) return next.value
    yield { ...next.value, stage }
  }
}
