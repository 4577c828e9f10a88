import { ArgumentError } from '../../core/errors.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import { type SamplerName, samplerNames, samplers } from '../options.ts'
import { createScoreSde, type ScoreSde, type SdeSamplerName, sdeSamplerNames, sdeSamplers } from '../score-sde/model.ts'
import { type DdpmParts, openDdpm } from './folder.ts'
import { createDdpm, type Ddpm, type PictureSampling, type SampleOptions } from './model.ts'

/** What samples an unconditional model: diffusers' schedulers, and where the model is a score SDE, that in continuous time. */
export type PictureSampler = SamplerName | SdeSamplerName
export const pictureSamplers = [...samplerNames, ...sdeSamplerNames] as readonly PictureSampler[]

const isSdeSampler = (sampler: PictureSampler): sampler is SdeSamplerName => Object.hasOwn(sdeSamplers, sampler)

export type PictureOptions = Omit<SampleOptions, 'scheduler'>

/** An unconditional model with a sampler. */
export interface PictureModel {
  /** The scheduler's class, or what the sampler of a score SDE is called. */
  readonly sampler: string
  sample(options?: PictureOptions): PictureSampling
  /** Frees the engine's memory. */
  release(): Promise<void>
}

/**
 * Opens a folder for a sampler; without one, for the scheduler that the folder names.
 *
 * @throws what `openDdpm` and `createScoreSde` do
 */
export async function loadPictureModel(
  dir: string,
  scheduler: PictureSampler | undefined,
  { variant, ...options }: CompileOptions & { readonly variant?: string } = {},
): Promise<PictureModel> {
  return pictureModels(openDdpm(dir, variant === undefined ? {} : { variant }), options).with(scheduler)
}

/** A model under every sampler that it has; its networks are compiled once. */
export interface PictureModels {
  /** @throws ArgumentError for a sampler that this model does not have */
  with(scheduler: PictureSampler | undefined): PictureModel
  release(): Promise<void>
}

export function pictureModels(parts: DdpmParts, options: CompileOptions = {}): PictureModels {
  let chain: Ddpm | undefined
  let sde: ScoreSde | undefined
  const release = async () => {
    await chain?.release()
    await sde?.release()
  }
  return {
    with(scheduler) {
      if (scheduler !== undefined && isSdeSampler(scheduler)) {
        sde ??= createScoreSde(parts, options)
        const model = sde
        return {
          sampler: sdeSamplers[scheduler],
          sample({ eta = 0, ...rest } = {}) {
            if (eta !== 0) throw new ArgumentError(`eta is DDIM's; ${scheduler} has none. Choose the scheduler ddim`)
            return model.sample({ ...rest, sampler: scheduler })
          },
          release,
        }
      }
      chain ??= createDdpm(parts, options)
      const model = chain
      return {
        sampler: scheduler === undefined ? model.scheduler._class_name : samplers[scheduler],
        sample: (given = {}) => model.sample({ ...given, ...(scheduler === undefined ? {} : { scheduler }) }),
        release,
      }
    },
    release,
  }
}
