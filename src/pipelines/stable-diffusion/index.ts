import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { parseOptions } from '../options.ts'
import { adapterFeatures } from './adapters.ts'
import { type Choices, choose } from './choices.ts'
import type { Size } from './conditions.ts'
import { controls } from './controls.ts'
import type { Companion } from './denoiser.ts'
import { depthToImage, instructedEdit, upscale } from './edits.ts'
import { classFor, families, type Task } from './families.ts'
import { imagePrompts } from './image-prompts.ts'
import { imageToImage } from './image-to-image.ts'
import { type Canvas, canvasOf, inpaint, laidOver } from './inpaint.ts'
import { type Loaded, type LoadOptions, load } from './loaded.ts'
import { type GenerateOptions, generateOptions, type Settings } from './options.ts'
import type { Components } from './parts.ts'
import { levelsOf, sizeOfPicture, wholeLatents } from './pictures.ts'
import type { Generating } from './sampling.ts'
import { textToImage } from './text-to-image.ts'
import { variation } from './variation.ts'

/** A checkpoint of Stable Diffusion that can run. */
export interface StableDiffusion {
  readonly components: Components
  /**
   * Makes pictures [num, 3, H, W], nominally in [−1, 1]: those of diffusers for the same options, a generator of the seed
   * `seed + k` on the CPU for picture k. The model's class and the given pictures say which of diffusers' pipelines it is.
   * Yields every step.
   */
  generate(options: GenerateOptions): Generating
  /** What `generate` would take for these options: the pipeline's class, its scheduler, and its defaults where nothing is said. */
  plan(options: GenerateOptions): Choices
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

  function planned({ signal, ...given }: GenerateOptions) {
    const settings: Settings = { ...parseOptions('generate', generateOptions, given), signal }
    const task = taskOf(loaded, settings)
    const className = classFor(components.className, task, loaded.controlnets.length > 0)
    return { settings, task, choices: choose(loaded, settings, className, sizeOfTask(loaded, settings, task)) }
  }

  async function* generate(options: GenerateOptions): Generating {
    const { settings, task, choices } = planned(options)
    const canvas = task === 'inpaint' ? canvasOf(settings, choices) : undefined
    const companions = await companionsOf(loaded, settings, choices, canvas)
    const z = yield* run(loaded, settings, choices, task, canvas, companions)
    if (settings.output === 'latents') return z
    const pictures = await latents.decode(z)
    await loaded.done(latents)
    return canvas ? laidOver(pictures, canvas) : pictures
  }

  return {
    components,
    generate,
    plan: (options) => planned(options).choices,
    decode: (z) => latents.decode(z.cast('f32')),
    async release() {
      for (const part of [loaded.prompts, loaded.unet, latents]) await part.release()
    },
  }
}

/** What is to be done, by the model's class and by what is given. */
function taskOf({ components }: Loaded, { image, mask, latents }: Settings): Task {
  const { task } = families[components.className] as (typeof families)[string]
  if (task === 'pix2pix' || task === 'upscale' || task === 'depth' || task === 'variation') return task
  if (mask) return 'inpaint'
  if (image || latents) return 'image-to-image'
  if (task === 'text-to-image') return task
  // An in-painting network sees a picture in all it does; others' classes only say what they are mostly used for.
  const { in_channels: channels, out_channels: own } = components.unet.config
  if (channels === own && task === 'inpaint') return 'text-to-image'
  throw new ArgumentError(
    `${components.place} is a ${components.className}: give ${task === 'inpaint' ? 'image and mask' : 'image'}`,
  )
}

/** The size of a run where none is asked for: that of the given picture, down to whole latents, where diffusers takes it. */
function sizeOfTask({ factor, xl }: Loaded, settings: Settings, task: Task): Size | undefined {
  const { image, latents, controls: given, adapters } = settings
  const [, , h, w] = latents?.shape ?? []
  if (task === 'image-to-image' && h && w) return { height: h * factor, width: w * factor }
  if (task === 'inpaint' && !given) return undefined
  if (task === 'pix2pix' && xl) return undefined
  if (task === 'variation') return undefined
  const source = task === 'text-to-image' ? (given ?? adapters)?.[0]?.picture : image
  return source && wholeLatents(sizeOfPicture(levelsOf(source)), factor)
}

/** What acts beside the text in a run. */
async function companionsOf(loaded: Loaded, settings: Settings, choices: Choices, canvas?: Canvas): Promise<Companion[]> {
  const { controlnets, imagePrompting, adapters, components, compileOptions } = loaded
  return [
    ...controls(controlnets, settings, choices, { ...choices, box: canvas?.box }),
    ...(await imagePrompts(imagePrompting, settings, components, compileOptions)),
    ...(await adapterFeatures(adapters, settings, choices, compileOptions)),
  ]
}

/** The tasks in which ControlNets and adapters act. */
const guidable: ReadonlySet<Task> = new Set(['text-to-image', 'image-to-image', 'inpaint'])

function run(
  loaded: Loaded,
  settings: Settings,
  choices: Choices,
  task: Task,
  canvas: Canvas | undefined,
  companions: readonly Companion[],
): Generating {
  if (companions.length > 0 && !guidable.has(task)) {
    throw new ArgumentError(`${choices.className} takes no ControlNet and no adapter: open the model without`)
  }
  switch (task) {
    case 'text-to-image':
      return textToImage(loaded, settings, choices, companions)
    case 'image-to-image':
      return imageToImage(loaded, settings, choices, companions)
    case 'inpaint':
      return inpaint(loaded, settings, choices, companions, canvas as Canvas)
    case 'pix2pix':
      return instructedEdit(loaded, settings, choices)
    case 'upscale':
      return upscale(loaded, settings, choices)
    case 'depth':
      return depthToImage(loaded, settings, choices)
    case 'variation':
      return variation(loaded, settings, choices)
  }
}

export { type OpenOptions, openComponents } from './components.ts'
export { families } from './families.ts'
export type { LoadOptions } from './loaded.ts'
export { type GenerateOptions, generateOptions } from './options.ts'
export { type Parameters, parametersText } from './parameters.ts'
export type { GenerateProgress } from './sampling.ts'
export { schedulerNames } from './schedulers.ts'
export type { StepCache } from './step-cache.ts'
