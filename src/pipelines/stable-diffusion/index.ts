import type { NdArray } from '../../runtime/ndarray.ts'
import { parseOptions } from '../options.ts'
import { choose } from './choices.ts'
import { classFor } from './families.ts'
import { type LoadOptions, load } from './loaded.ts'
import { type GenerateOptions, generateOptions, type Settings } from './options.ts'
import type { Components } from './parts.ts'
import type { Generating } from './sampling.ts'
import { textToImage } from './text-to-image.ts'

/** A checkpoint of Stable Diffusion that can run. */
export interface StableDiffusion {
  readonly components: Components
  /**
   * Makes pictures [num, 3, H, W], nominally in [−1, 1]: those of diffusers for the same options, a generator of the seed
   * `seed + k` on the CPU for picture k. The model's class and the given pictures say which of diffusers' pipelines it is.
   * Yields every step.
   */
  generate(options: GenerateOptions): Generating
  /** Latents, such as those of a step, as pictures [B, 3, H, W]. */
  decode(latents: NdArray): Promise<NdArray<'f32'>>
  /** Frees the engine's memory. */
  release(): Promise<void>
}

/**
 * Opens a checkpoint of Stable Diffusion 1, 2 or XL: a folder in diffusers' layout, an original's single file, or a name on the hub.
 *
 * @throws what `openComponents` does, LoraError, InversionError
 */
export async function loadStableDiffusion(model: string, options: LoadOptions = {}): Promise<StableDiffusion> {
  const loaded = await load(model, options)
  const { components, latents } = loaded

  async function* generate({ signal, ...given }: GenerateOptions): Generating {
    const settings: Settings = { ...parseOptions('generate', generateOptions, given), signal }
    const className = classFor(components.className, 'text-to-image', false)
    const choices = choose(loaded, settings, className, undefined)
    const z = yield* textToImage(loaded, settings, choices, [])
    if (settings.output === 'latents') return z
    const pictures = await latents.decode(z)
    await loaded.done(latents)
    return pictures
  }

  return {
    components,
    generate,
    decode: (z) => latents.decode(z.cast('f32')),
    async release() {
      for (const part of [loaded.prompts, loaded.unet, latents]) await part.release()
    },
  }
}

export { type OpenOptions, openComponents } from './components.ts'
export { families } from './families.ts'
export type { LoadOptions } from './loaded.ts'
export { type GenerateOptions, generateOptions } from './options.ts'
export type { GenerateProgress } from './sampling.ts'
export { schedulerNames } from './schedulers.ts'
