import type { NdArray } from '../../runtime/ndarray.ts'
import { openSource } from '../open/open.ts'
import { openParts } from '../open/parts.ts'
import { openedOf } from '../opened.ts'
import { parseOptions } from '../options.ts'
import type { Progress } from '../page.ts'
import { type Components, componentsOf, stableDiffusionParts } from './components.ts'
import { checkClass } from './families.ts'
import { generate } from './generate.ts'
import { type LoadOptions, openModel } from './model.ts'
import { type GenerateOptions, generateOptions, type Settings } from './options.ts'
import { planOf, type SamplingPlan } from './plan.ts'

/** Pictures under way: each step, then [num, 3, H, W]. */
export type Generating = AsyncGenerator<GenerateProgress, NdArray<'f32'>, void>
/** A step of sampling, and how far all pictures together are; `latents` are [1, C, h, w], and `decode` shows them. */
export type GenerateProgress = Progress

/** A checkpoint of Stable Diffusion that can run. */
export interface StableDiffusion {
  readonly components: Components
  /**
   * Makes pictures [num, 3, H, W], nominally in [−1, 1]: those of diffusers for the same options, a generator of the seed
   * `seed + k` on the CPU for picture k. The model's class and the given pictures say which of diffusers' pipelines it is.
   * Yields every step. Several runs of one model may overlap: their networks' calls take turns.
   */
  generate(options: GenerateOptions): Generating
  /** What `generate` would take for these options: the pipeline's class, its scheduler, and its defaults where nothing is said. */
  plan(options: GenerateOptions): SamplingPlan
  /** Latents, such as those of a step, as pictures [B, 3, H, W]. */
  decode(latents: NdArray): Promise<NdArray<'f32'>>
  /** Frees the engine's memory. */
  release(): Promise<void>
}

/**
 * Opens a checkpoint of Stable Diffusion 1, 2 or XL: a folder in diffusers' layout, a single-file checkpoint, or a name on the hub.
 *
 * @throws what `openComponents` does, LoraError, InversionError
 */
export async function loadStableDiffusion(model: string, options: LoadOptions = {}): Promise<StableDiffusion> {
  const source = await openSource(model, options)
  checkClass(source)
  const parts = await openParts(source, stableDiffusionParts, options)
  const opened = await openModel(componentsOf(parts, source), openedOf(source, options))
  const settingsOf = ({ signal, ...given }: GenerateOptions): Settings => ({
    ...parseOptions('generate', generateOptions, given),
    signal,
  })
  return {
    components: opened.components,
    async *generate(given) {
      const result = yield* generate(opened, settingsOf(given))
      return result.type === 'latents' ? result.latents : (result as Extract<typeof result, { type: 'pictures' }>).pictures
    },
    plan: (given) => planOf(opened, settingsOf(given)),
    decode: (z) => opened.latents.decode(z.cast('f32')),
    release: () => opened.release(),
  }
}

export type { OpenOptions } from '../open/source.ts'
export type { StepCache } from '../parts/step-cache.ts'
export { schedulerNames } from '../sampling/schedulers.ts'
export { openComponents } from './components.ts'
export { families } from './families.ts'
export type { LoadOptions } from './model.ts'
export { type GenerateOptions, generateOptions } from './options.ts'
export { type Parameters, parametersText } from './parameters.ts'
