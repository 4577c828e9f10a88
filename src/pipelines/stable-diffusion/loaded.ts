import { type LoraWeight, mergeLoras, openLora } from '../../checkpoints/index.ts'
import type { ControlNetConfig, T2IAdapterConfig } from '../../models/index.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import type { Weights } from '../../runtime/weights.ts'
import { addInversions, readInversion } from '../../text/index.ts'
import { openAdapter } from './adapters.ts'
import { type OpenOptions, openComponents } from './components.ts'
import { openControlNet } from './controls.ts'
import { type UNet, unet } from './denoiser.ts'
import { families } from './families.ts'
import { type ImagePrompting, openImagePrompting } from './image-prompts.ts'
import { type Latents, latentCoder } from './latents.ts'
import { type Components, factorOf, type Network } from './parts.ts'
import { type Prompts, prompts } from './prompts.ts'
import type { StepCache } from './step-cache.ts'

export interface LoadOptions extends OpenOptions, CompileOptions {
  /** LoRA and LyCORIS files, merged with their weights. */
  readonly loras?: readonly { readonly file: string; readonly weight?: LoraWeight }[]
  /** ControlNets, each a folder in diffusers' layout or a name on the hub. */
  readonly controlnets?: readonly string[]
  /** IP-Adapters, each one file in the published layout, and their image encoder where it is neither the model's nor beside them. */
  readonly ipAdapters?: readonly string[]
  readonly imageEncoder?: string | undefined
  /** T2I-Adapters, each a folder in diffusers' layout or a name on the hub. */
  readonly adapters?: readonly string[]
  /** Files of learnt tokens; `token` as prompts write it. */
  readonly inversions?: readonly { readonly file: string; readonly token?: string }[]
  /** Keeps one network in memory at a time, its weights left in their file: slower, and much less memory. */
  readonly lowMemory?: boolean
  /** Whether networks stay in memory for the next run (unless false): else each is freed once its work in a run is done. */
  readonly keep?: boolean
  /** Codes pictures larger than those of training in tiles. */
  readonly tiling?: boolean
  /**
   * The U-Net in few bits, on the CPU. `int8`: integers, faster; the first run on a checkpoint calibrates it by a short float
   * run, whose ranges are kept. `int4`: the least memory for weights, slower.
   */
  readonly quantize?: 'int8' | 'int4' | undefined
  /** Steps take over deep features from earlier ones: faster, and another picture. */
  readonly cache?: StepCache | undefined
}

/** A checkpoint whose networks can run. */
export interface Loaded {
  readonly components: Components
  readonly xl: boolean
  /** Pixels a side that one latent stands for. */
  readonly factor: number
  readonly prompts: Prompts
  readonly unet: UNet
  readonly controlnets: readonly Network<ControlNetConfig>[]
  readonly imagePrompting: ImagePrompting | undefined
  readonly adapters: readonly Network<T2IAdapterConfig>[]
  readonly latents: Latents
  /** How every network of this model is compiled. */
  readonly compileOptions: CompileOptions
  /** Frees what has done its work, unless it is kept. */
  done(part: { release(): Promise<void> }): Promise<void>
}

export async function load(model: string, options: LoadOptions): Promise<Loaded> {
  const {
    loras = [],
    inversions = [],
    controlnets = [],
    ipAdapters = [],
    adapters = [],
    lowMemory = false,
    keep = !lowMemory,
    tiling,
    quantize,
    cache,
  } = options
  const { device, threads, prepack = lowMemory ? false : undefined, rewrite, fallback } = options
  const components = withInversions(await withLoras(await openComponents(model, options), loras), inversions)
  const given = Object.entries({ device, threads, prepack, rewrite, fallback }).filter(([, value]) => value !== undefined)
  const compileOptions: CompileOptions = Object.fromEntries(given)
  const { xl } = families[components.className] as (typeof families)[string]
  return {
    components,
    xl,
    factor: factorOf(components),
    prompts: prompts(components, xl, compileOptions),
    unet: unet(components, compileOptions, { quantize, cache }),
    controlnets: await Promise.all(controlnets.map((name) => openControlNet(name, options))),
    imagePrompting: await openImagePrompting(ipAdapters, components, options),
    adapters: await Promise.all(adapters.map((name) => openAdapter(name, options))),
    latents: latentCoder(components.vae, { ...compileOptions, tiling }),
    compileOptions,
    done: async (part) => {
      if (!keep) await part.release()
    },
  }
}

async function withLoras(components: Components, loras: NonNullable<LoadOptions['loras']>): Promise<Components> {
  if (loras.length === 0) return components
  const networks = new Map<string, Weights>([
    ['unet', components.unet.weights],
    ...components.text.map(({ name, weights }) => [name, weights] as const),
  ])
  const all = loras.map(({ file, weight = 1 }) => ({ lora: openLora(file), weight }))
  const merged = await mergeLoras(networks, all)
  const own = (name: string) => ({ weights: merged.get(name) as Weights })
  return {
    ...components,
    unet: { ...components.unet, ...own('unet') },
    text: components.text.map((encoder) => ({ ...encoder, ...own(encoder.name) })),
  }
}

function withInversions(components: Components, files: NonNullable<LoadOptions['inversions']>): Components {
  if (files.length === 0) return components
  const inversions = files.map(({ file, token }) => readInversion(file, token))
  return {
    ...components,
    text: components.text.map((encoder) => {
      const { tokenizer, weights } = addInversions(encoder, inversions, encoder.name === 'text_encoder' ? 'first' : 'second')
      return { ...encoder, tokenizer, weights, config: { ...encoder.config, vocab_size: tokenizer.size } }
    }),
  }
}
