import { type HubOptions, type LoraWeight, mergeLoras, openLora, resolveLora } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import type { Weights } from '../../runtime/weights.ts'
import { addInversions, bundledInversions, type PromptLora, readInversion, type TextualInversion } from '../../text/index.ts'
import { type OpenControlNet, openControlNet } from '../conditioning/controlnet.ts'
import { type ImagePrompting, openImagePrompting } from '../conditioning/ip-adapter.ts'
import { type AdapterFeatures, openAdapter } from '../conditioning/t2i-adapter.ts'
import type { ConfigOf } from '../open/classes.ts'
import { openSource } from '../open/open.ts'
import { openParts } from '../open/parts.ts'
import { openedOf } from '../opened.ts'
import type { LoadOptions as CommonOptions, Opened } from '../page.ts'
import { type LatentCoder, latentCoder } from '../parts/autoencoder.ts'
import { type Denoiser, denoiser } from '../parts/denoiser.ts'
import { imageEncoder, type WorkingImageEncoder } from '../parts/image-encoder.ts'
import { traceUnet } from '../parts/unet.ts'
import { type Components, componentsOf, stableDiffusionParts } from './components.ts'
import { families, type PipelineClass } from './families.ts'
import { promptLora } from './prompt-loras.ts'
import { type Prompts, prompts } from './prompts.ts'

export interface LoadOptions extends CommonOptions {
  /** LoRA and LyCORIS files, merged with their weights. */
  readonly loras?: readonly { readonly file: string; readonly weight?: LoraWeight }[]
  /** ControlNets, each a folder in diffusers' layout or a name on the hub. */
  readonly controlnets?: readonly string[]
  /** IP-Adapters, each one file in the published layout, and their image encoder where it is neither the model's nor beside them. */
  readonly ipAdapters?: readonly string[]
  readonly imageEncoder?: string | undefined
  /** T2I-Adapters, each a folder in diffusers' layout or a name on the hub. */
  readonly adapters?: readonly string[]
  /** Files of textual-inversion embeddings; `token` as prompts write it. */
  readonly inversions?: readonly { readonly file: string; readonly token?: string }[]
  /** The folder of the LoRAs that prompts name, `<lora:name:0.8>`; beside the model unless given. */
  readonly loraDir?: string | undefined
  /** What enlarges for the second pass of a hires fix: `latent` (unless given), `lanczos`, or an upscaler's file, folder or name. */
  readonly hiresUpscaler?: string | undefined
  /** XL: a second model that makes the last steps. */
  readonly refiner?: string | undefined
}

/** A checkpoint of Stable Diffusion whose networks can run. */
export interface StableDiffusionModel {
  readonly components: Components
  readonly xl: boolean
  /** Pixels a side that one latent stands for. */
  readonly factor: number
  readonly prompts: Prompts
  readonly unet: Denoiser<ConfigOf<'UNet2DConditionModel'>>
  readonly latents: LatentCoder
  readonly imageEncoder: WorkingImageEncoder | undefined
  readonly controlnets: readonly OpenControlNet[]
  readonly imagePrompting: ImagePrompting | undefined
  readonly adapters: readonly AdapterFeatures[]
  readonly refiner: StableDiffusionModel | undefined
  readonly hiresUpscaler: string
  /** How its networks are compiled. */
  readonly compile: CompileOptions
  /** The model with LoRAs that a prompt names; the last such stays ready. @throws ArgumentError, LoraError, HubError */
  withLoras(named: readonly PromptLora[]): Promise<StableDiffusionModel>
  /** Frees what has done its work in a run, unless it is kept. */
  done(part: { release(): Promise<void> }): Promise<void>
  release(): Promise<void>
}

export async function openModel(stored: Components, opened: Opened<LoadOptions>): Promise<StableDiffusionModel> {
  const { compile, load, done } = opened
  const { loras = [], inversions = [], controlnets = [], ipAdapters = [], adapters = [], tiling, quantize, cache } = load
  const merging = await openLoras(loras, load.hub)
  const embeddings = [
    ...inversions.map(({ file, token }) => readInversion(file, token)),
    ...merging.flatMap(({ lora }) => bundledInversions(lora.tensors, lora.place)),
  ]
  const merged = async (more: readonly OpenedLora[]) => withInversions(await withLoras(stored, [...merging, ...more]), embeddings)
  const components = await merged([])
  const { xl } = families[components.className] as PipelineClass
  const latents = latentCoder(components.vae, { ...compile, tiling })
  const networks = (own: Components) => ({
    components: own,
    prompts: prompts(own, xl, compile),
    unet: denoiser(own.unet, traceUnet, compile, { quantize, cache }),
  })
  const working = {
    ...networks(components),
    latents,
    imageEncoder: components.imageEncoder && imageEncoder(components.imageEncoder, compile),
    controlnets: await Promise.all(controlnets.map((name) => openControlNet(name, load))),
    imagePrompting: await openImagePrompting(ipAdapters, components, load, compile),
    adapters: await Promise.all(adapters.map((name) => openAdapter(name, load, compile))),
  }
  const refiner = load.refiner === undefined ? undefined : await openRefiner(load.refiner, components, load)
  let named: { readonly key: string; readonly networks: ReturnType<typeof networks> } | undefined
  const dropNamed = async () => {
    const last = named?.networks
    named = undefined
    await last?.prompts.release()
    await last?.unet.release()
  }
  const model: StableDiffusionModel = {
    ...working,
    refiner,
    xl,
    factor: latents.factor,
    hiresUpscaler: load.hiresUpscaler ?? 'latent',
    compile,
    done,
    async withLoras(given) {
      if (given.length === 0) return model
      const key = JSON.stringify(given)
      if (named?.key !== key) {
        const more: OpenedLora[] = []
        for (const { name, weight } of given) {
          const file = await promptLora(name, { place: stored.place, loraDir: load.loraDir, hub: load.hub })
          more.push({ lora: openLora(file), weight })
        }
        const own = networks(await merged(more))
        await dropNamed()
        named = { key, networks: own }
      }
      return { ...model, ...named.networks }
    },
    async release() {
      const { imagePrompting, imageEncoder: sees } = working
      for (const part of [working.prompts, working.unet, latents, sees, imagePrompting, ...working.adapters])
        await part?.release()
      await dropNamed()
    },
  }
  return model
}

/** The second stage of a cascade, held against the first before either runs. @throws ArgumentError for another family */
async function openRefiner(name: string, base: Components, load: LoadOptions): Promise<StableDiffusionModel> {
  const { controlnets: _, ipAdapters: __, imageEncoder: ___, adapters: ____, loras: _____, inversions: ______, ...rest } = load
  const options = { ...rest, vae: undefined, refiner: undefined }
  const source = await openSource(name, options)
  const [own, first] = [source, base].map(({ className }) => families[className])
  if (!own?.xl || !first?.xl || own.task === 'pix2pix') {
    throw new ArgumentError(
      `refiner: ${source.place} is a ${source.className}, and ${base.place} a ${base.className}: both must be XL, the first for text, pictures or in-painting`,
    )
  }
  const components = componentsOf(await openParts(source, stableDiffusionParts, options), source)
  const [given, taken] = [base.vae, components.vae].map(({ config }) => config.latent_channels)
  if (given !== taken) {
    throw new ArgumentError(
      `refiner: ${source.place} has latents of ${taken} channels, and ${base.place} of ${given}: they must agree`,
    )
  }
  return openModel(components, openedOf(source, options))
}

type OpenedLora = Parameters<typeof mergeLoras>[1][number]

/** LoRAs by their files or their names on the hub. */
async function openLoras(loras: NonNullable<LoadOptions['loras']>, hub?: HubOptions): Promise<OpenedLora[]> {
  const opened: OpenedLora[] = []
  for (const { file, weight = 1 } of loras) opened.push({ lora: openLora(await resolveLora(file, hub)), weight })
  return opened
}

async function withLoras(components: Components, loras: readonly OpenedLora[]): Promise<Components> {
  if (loras.length === 0) return components
  const networks = new Map<string, Weights>([
    ['unet', components.unet.weights],
    ...components.text.map(({ name, weights }) => [name, weights] as const),
  ])
  const merged = await mergeLoras(networks, loras)
  const own = (name: string) => ({ weights: merged.get(name) as Weights })
  return {
    ...components,
    unet: { ...components.unet, ...own('unet') },
    text: components.text.map((encoder) => ({ ...encoder, ...own(encoder.name) })),
  }
}

function withInversions(components: Components, inversions: readonly TextualInversion[]): Components {
  if (inversions.length === 0) return components
  return {
    ...components,
    text: components.text.map((encoder) => {
      const { tokenizer, weights } = addInversions(encoder, inversions, encoder.name === 'text_encoder' ? 'first' : 'second')
      return { ...encoder, tokenizer, weights, config: { ...encoder.config, vocab_size: tokenizer.size } }
    }),
  }
}
