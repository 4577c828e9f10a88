import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readJson } from '../../checkpoints/json.ts'
import { ArgumentError } from '../../core/errors.ts'
import {
  type Autoencoder,
  createPromptBatches,
  loadCaptionBatches,
  loadPipeline,
  openComponents,
  openFlowParts,
  type PromptBatchOptions,
  partsOf,
} from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'

/** A text-to-image model as it is measured: captions to pictures, a picture each. */
export interface CaptionSampler {
  /** Pictures [captions, 3, H, W] in [−1, 1]. Picture k starts from the noise of seed `seed + k`. */
  generate(captions: readonly string[], options: PromptBatchOptions): Promise<NdArray<'f32'>>
  /** What makes pictures of its latents, with the pixels a side that it is for; none where the model has no such part. */
  readonly autoencoder?: CaptionAutoencoder
  release(): Promise<void>
}

export interface CaptionAutoencoder {
  readonly coder: Pick<Autoencoder, 'decode'> & { encode(images: NdArray<'f32'>): Promise<NdArray> }
  readonly size: number
  /** What latents are multiplied by for the denoiser; none of tokens. */
  readonly scale?: number
}

export interface CaptionSamplerOptions extends CompileOptions {
  /** Captions at once, where the model takes several. */
  readonly batch?: number
  /** Options of every run beside those that all have. With any of them captions go one by one, as only the model's pipeline takes them. */
  readonly run?: Readonly<Record<string, unknown>>
}

/**
 * Opens any pipeline that makes pictures from text. A DALL·E and a small Stable Diffusion, with one text encoder or as the third version
 * with all three, take their captions in batches, any other model one by one, as it takes a user's.
 */
export async function openCaptionSampler(model: string, options: CaptionSamplerOptions): Promise<CaptionSampler> {
  if (Object.keys(options.run ?? {}).length > 0) return oneByOne(model, options)
  const index = join(model, 'model_index.json')
  const className = existsSync(index) ? String(readJson(index)._class_name) : ''
  if (className === 'DallePipeline') return ofTokens(model, options)
  const parts = await smallParts[className]?.(model)
  return parts ? inBatches(parts, options) : oneByOne(model, options)
}

type SmallParts = Parameters<typeof createPromptBatches>[0]

/** By their pipeline's class, how models are opened whose captions go in batches; nothing for those that have other parts. */
const smallParts: Readonly<Record<string, (folder: string) => Promise<SmallParts | undefined>>> = {
  async StableDiffusionPipeline(folder) {
    const components = await openComponents(folder)
    return components.text.length === 1 && 'scaling_factor' in components.vae.config ? partsOf(components) : undefined
  },
  StableDiffusion3Pipeline: (folder) => openFlowParts(folder),
}

function inBatches(parts: SmallParts, options: CaptionSamplerOptions): CaptionSampler {
  const batches = createPromptBatches(parts, options)
  const { scaling_factor: scale } = parts.vae.config
  return {
    generate: batches.generate,
    autoencoder: { coder: batches.autoencoder, size: parts.size, scale },
    release: batches.release,
  }
}

async function ofTokens(folder: string, { batch = 32, ...engine }: CaptionSamplerOptions): Promise<CaptionSampler> {
  const { coder, size, generate, release } = await loadCaptionBatches(folder, engine)
  return {
    generate: (captions, { guidance, seed, signal, onPictures }) =>
      generate(captions, { batch, guidance, seed, signal, onPictures }),
    autoencoder: { coder: { encode: coder.encode, decode: (tokens) => coder.decode(tokens as NdArray as NdArray<'i64'>) }, size },
    release,
  }
}

async function oneByOne(model: string, { batch: _, run: own, ...engine }: CaptionSamplerOptions): Promise<CaptionSampler> {
  const pipeline = await loadPipeline(model, { ...engine })
  const { className, output, schema, place } = pipeline
  if (output !== 'pictures' || !Object.hasOwn(schema.shape, 'prompt')) {
    await pipeline.release()
    throw new ArgumentError(`${place}: a ${className} makes no pictures from text, which is what captions measure`)
  }
  const taken = (options: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.entries(options).filter(([key]) => Object.hasOwn(schema.shape, key)))
  const picture = async (prompt: string, { steps, guidance, seed, signal }: PromptBatchOptions) => {
    const run = pipeline.generate({ ...taken({ prompt, steps, guidance, seed, syntax: 'plain' }), ...own, signal })
    let next = await run.next()
    while (!next.done) next = await run.next()
    if (next.value.type !== 'pictures') throw new ArgumentError(`${place}: made ${next.value.type}, not pictures`)
    return next.value.pictures
  }
  return {
    async generate(captions, { onPictures, ...options }) {
      const pictures: NdArray<'f32'>[] = []
      for (const [i, caption] of captions.entries()) {
        pictures.push(await picture(caption, { ...options, seed: options.seed + i }))
        onPictures?.(i + 1, captions.length)
      }
      return NdArray.concat(pictures)
    },
    release: () => pipeline.release(),
  }
}
