import { encodeJpeg, encodePng, encodeWebp, type ImageTensor, imagesOf } from '../../images/index.ts'
import { parametersText } from '../../pipelines/index.ts'
import type { Plan, Result } from '../../pipelines/page.ts'
import { encodeFilm } from '../../video/index.ts'
import { JobError } from '../errors.ts'
import type { JobResult, JobSpec, MadeFile, OutputSpec } from '../job.ts'
import type { Store } from '../store/store.ts'

/** What is written of a run beside its pictures. */
export interface Made {
  readonly result: Result
  readonly plan: Plan
  /** The options with their defaults. */
  readonly settings: Readonly<Record<string, unknown>>
}

export interface Writing {
  readonly store: Store
  readonly spec: JobSpec
  readonly version: string
}

/** Writes what a run made into the store. @throws JobError for latents, which only another page goes on from */
export async function write(made: Made, writing: Writing): Promise<Pick<JobResult, 'files' | 'texts' | 'settings'>> {
  const { result, plan } = made
  const settings = plan.settings
  switch (result.type) {
    case 'pictures': {
      const files: MadeFile[] = []
      for (const [k, picture] of imagesOf(result.pictures).entries()) files.push(await writePicture(picture, k, made, writing))
      return { files, settings }
    }
    case 'frames':
      return { files: await writeFilms(result, made, writing), settings }
    case 'text':
      return { files: [], texts: result.texts, settings }
    case 'latents':
      throw new JobError('invalid_options', 'output: a server gives pictures, films and texts, no latents', { param: 'output' })
  }
}

async function writePicture(picture: ImageTensor, k: number, made: Made, { store, spec, version }: Writing): Promise<MadeFile> {
  const [, height = 0, width = 0] = picture.shape
  const entry = entryOf(made, spec, k, `${width}x${height}`, version)
  const bytes = await encode(picture, spec.output, spec.output.metadata ? parametersText(entry) : undefined, version)
  const type = `image/${spec.output.format}`
  const file = await store.put(spec.owner, bytes, type)
  const prompt = made.plan.prompts?.[k]?.prompt
  const seed = entry.settings.Seed
  return {
    file,
    type,
    bytes: bytes.length,
    width,
    height,
    ...(typeof seed === 'number' && { seed }),
    ...(prompt !== undefined && { prompt }),
  }
}

/** A picture in the format that was asked for. */
export async function encode(
  picture: ImageTensor,
  { format, quality }: OutputSpec,
  parameters: string | undefined,
  version: string,
): Promise<Uint8Array> {
  const software = { Software: `langevin ${version}` }
  if (format === 'png') return encodePng(picture, { text: { ...software, ...(parameters !== undefined && { parameters }) } })
  const options = { ...(quality !== undefined && { quality }), ...(parameters !== undefined && { parameters }) }
  return (format === 'webp' ? encodeWebp : encodeJpeg)(picture, options)
}

async function writeFilms(
  { frames, rate }: Extract<Result, { type: 'frames' }>,
  made: Made,
  { store, spec, version }: Writing,
): Promise<MadeFile[]> {
  const [films = 0, length = 0, C = 0, height = 0, width = 0] = frames.shape
  const files: MadeFile[] = []
  for (let k = 0; k < films; k++) {
    const pictures = imagesOf(frames.slice(0, k, k + 1).reshape([length, C, height, width]))
    const entry = entryOf(made, spec, k, `${width}x${height}`, version)
    const parameters = spec.output.metadata ? parametersText(entry) : undefined
    const bytes = await encodeFilm('mp4', pictures, { rate, parameters })
    const type = 'video/mp4'
    const file = await store.put(spec.owner, bytes, type)
    const seed = seedOf(made, k)
    files.push({
      file,
      type,
      bytes: bytes.length,
      width,
      height,
      frames: length,
      rate,
      ...(seed !== undefined && { seed }),
    })
  }
  return files
}

function seedOf({ plan, settings }: Made, k: number): number | undefined {
  if (typeof settings.seed !== 'number') return undefined
  return plan.together ? settings.seed : settings.seed + k
}

/** What is written with the k-th picture of a run, in AUTOMATIC1111's words. */
function entryOf(made: Made, spec: JobSpec, k: number, size: string, version: string) {
  const { plan, settings } = made
  const { Steps, Sampler, 'Sampler options': own, 'CFG scale': guidance, Size, ...more } = plan.settings
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
  const num = typeof settings.num === 'number' ? settings.num : 1
  const prompts = plan.prompts?.[k]
  return {
    prompt: prompts?.prompt ?? text(settings.prompt) ?? '',
    negative: prompts ? prompts.negative : text(settings.negative),
    settings: {
      ...{ Steps, Sampler, 'Sampler options': own, 'CFG scale': guidance },
      Seed: seedOf(made, k),
      ...(plan.together && num > 1 && { 'Batch size': num, 'Batch pos': k }),
      Size: Size ?? size,
      Model: spec.model,
      ...more,
      Version: `langevin ${version}`,
    },
  }
}
