import { ArgumentError } from '../core/errors.ts'
import type { CompileOptions } from '../runtime/program.ts'
import { loadDdpm, type PictureSampling, type SampleOptions } from './ddpm.ts'
import { type SamplerName, samplerNames, samplers } from './options.ts'
import { loadScoreSde, type SdeSamplerName, sdeSamplerNames } from './score-sde.ts'

/** What samples an unconditional model: diffusers' schedulers, and where the model is a score SDE, that in continuous time. */
export type PictureSampler = SamplerName | SdeSamplerName
export const pictureSamplers = [...samplerNames, ...sdeSamplerNames] as readonly PictureSampler[]

const sdeSamplers: Readonly<Record<SdeSamplerName, string>> = {
  pc: 'predictor-corrector',
  sde: 'reverse SDE',
  ode: 'probability-flow ODE',
}
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
 * @throws what `loadDdpm` and `loadScoreSde` do
 */
export async function loadPictureModel(
  dir: string,
  scheduler: PictureSampler | undefined,
  options: CompileOptions & { readonly variant?: string } = {},
): Promise<PictureModel> {
  if (scheduler !== undefined && isSdeSampler(scheduler)) {
    const model = await loadScoreSde(dir, options)
    return {
      sampler: sdeSamplers[scheduler],
      sample({ eta = 0, ...rest } = {}) {
        if (eta !== 0) throw new ArgumentError(`eta is DDIM's; ${scheduler} has none. Choose the scheduler ddim`)
        return model.sample({ ...rest, sampler: scheduler })
      },
      release: () => model.release(),
    }
  }
  const model = await loadDdpm(dir, options)
  return {
    sampler: scheduler === undefined ? model.scheduler._class_name : samplers[scheduler],
    sample: (given = {}) => model.sample({ ...given, ...(scheduler === undefined ? {} : { scheduler }) }),
    release: () => model.release(),
  }
}
