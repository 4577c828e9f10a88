import { ArgumentError } from '../../core/errors.ts'
import { type CascadeStage, loadPipeline, loadRanker, type Pipeline, rankPictures } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { trainedModel } from '../stored.ts'
import { type CaptionSampler, type CaptionSamplerOptions, openCaptionSampler } from './sampler.ts'

/** A cascade's stages, or a model alone. */
export type SampledStages = readonly [CascadeStage, ...CascadeStage[]]

/**
 * A model, or a cascade of models that enlarge one another's pictures: as `loadCascade` makes them, but all captions go through a stage
 * before the next, so that a network is compiled once. The run's steps and guidance are the first stage's; later ones have their own
 * options, and their pipelines' defaults otherwise.
 *
 * @throws ArgumentError for a later stage that takes no picture
 */
export async function openStages([first, ...later]: SampledStages, options: CaptionSamplerOptions): Promise<CaptionSampler> {
  const sampler = await openCaptionSampler(first.model, { ...options, ...(first.options && { run: first.options }) })
  if (later.length === 0) return sampler
  const { batch: _, run: __, ...engine } = options
  const opened: { readonly pipeline: Pipeline; readonly options: Readonly<Record<string, unknown>> }[] = []
  const release = async () => {
    for (const one of [sampler, ...opened.map(({ pipeline }) => pipeline)]) await one.release()
  }
  try {
    for (const { model, options: own = {} } of later) {
      const pipeline = await loadPipeline(model, { ...engine })
      opened.push({ pipeline, options: own })
      const { place, className, output, schema } = pipeline
      if (output !== 'pictures' || !('image' in schema.shape))
        throw new ArgumentError(`${place}: a ${className} enlarges no pictures: it can only be the first stage`)
    }
  } catch (error) {
    await release()
    throw error
  }
  return {
    release,
    async generate(captions, { onPictures, ...run }) {
      const total = captions.length * (1 + opened.length)
      let pictures = await sampler.generate(captions, { ...run, onPictures: (done) => onPictures?.(done, total) })
      for (const [k, stage] of opened.entries()) {
        const large: NdArray<'f32'>[] = []
        for (const [i, prompt] of captions.entries()) {
          const given = { prompt, seed: run.seed + i, image: pictures.row(i), ...stage.options }
          large.push(await enlarged(stage.pipeline, given, run.signal))
          onPictures?.((k + 1) * captions.length + i + 1, total)
        }
        pictures = NdArray.concat(large)
      }
      return pictures
    },
  }
}

/** What a stage makes of a picture [3, H, W]: [1, 3, H', W']. */
export async function enlarged(
  { schema, generate, place }: Pipeline,
  given: Readonly<Record<string, unknown>>,
  signal: AbortSignal | undefined,
): Promise<NdArray<'f32'>> {
  const told = Object.fromEntries(Object.entries(given).filter(([key]) => Object.hasOwn(schema.shape, key)))
  const steps = generate({ ...told, ...('watermark' in schema.shape && { watermark: false }), signal })
  let next = await steps.next()
  while (!next.done) next = await steps.next()
  if (next.value.type !== 'pictures') throw new ArgumentError(`${place}: made ${next.value.type}, not pictures`)
  return next.value.pictures
}

/** Of so many pictures of each caption the one that a CLIP finds best (Ramesh et al. 2021, section 2.6). */
export async function bestOf(
  sampler: CaptionSampler,
  { candidates, rank, ...engine }: { readonly candidates: number; readonly rank: string } & CaptionSamplerOptions,
): Promise<CaptionSampler> {
  const ranker = await loadRanker(trainedModel(rank), engine)
  return {
    ...sampler,
    async generate(captions, { onPictures, ...run }) {
      const best: NdArray<'f32'>[] = []
      for (const [i, caption] of captions.entries()) {
        const same = Array.from({ length: candidates }, () => caption)
        const pictures = await sampler.generate(same, { ...run, seed: run.seed + i * candidates })
        const { order } = await rankPictures(ranker, caption, pictures, run.signal)
        const at = order[0] as number
        best.push(pictures.slice(0, at, at + 1))
        onPictures?.(i + 1, captions.length)
      }
      return NdArray.concat(best)
    },
    async release() {
      await sampler.release()
      await ranker.release()
    },
  }
}
