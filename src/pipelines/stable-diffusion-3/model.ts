import { type LoraWeight, mergeLoras, openLora, resolveLora } from '../../checkpoints/index.ts'
import type { Weights } from '../../runtime/weights.ts'
import type { ConfigOf } from '../open/classes.ts'
import { openNetworkAt } from '../open/network.ts'
import type { LoadOptions as CommonOptions, Opened, Releasable } from '../page.ts'
import { type LatentCoder, latentCoder } from '../parts/autoencoder.ts'
import { type Denoiser, denoiser } from '../parts/denoiser.ts'
import { traceMmdit } from '../parts/mmdit.ts'
import type { Components } from './components.ts'
import { type ControlNet, checkControlNet } from './controlnet.ts'
import { type Prompts, prompts } from './prompts.ts'

export interface LoadOptions extends CommonOptions {
  /** LoRA files, merged with their weights. */
  readonly loras?: readonly { readonly file: string; readonly weight?: LoraWeight }[]
  /** ControlNets, each a folder in diffusers' layout or a name on the hub; without, the folder's own if it has one. */
  readonly controlnets?: readonly string[]
}

/** A checkpoint of Stable Diffusion 3 whose networks can run. */
export interface StableDiffusion3Model {
  readonly components: Components
  /** Pixels a side that one latent stands for. */
  readonly factor: number
  readonly prompts: Prompts
  readonly transformer: Denoiser<ConfigOf<'SD3Transformer2DModel'>>
  /** The same network for calls without some of its blocks. */
  readonly skipping: Denoiser
  readonly latents: LatentCoder
  readonly controlnets: readonly ControlNet[]
  /** Frees what has done its work in a run, unless it is kept. */
  done(part: Releasable): Promise<void>
  release(): Promise<void>
}

export async function openModel(
  stored: Components,
  { compile, load, done }: Opened<LoadOptions>,
): Promise<StableDiffusion3Model> {
  const { loras = [], controlnets: names = [], tiling, quantize } = load
  const components = await withLoras(stored, loras, load)
  const given = await Promise.all(names.map((name) => openNetworkAt(name, 'a ControlNet', ['SD3ControlNetModel'], load)))
  const controlnets = given.length > 0 ? given : [stored.controlnet].filter((one) => one !== undefined)
  for (const net of controlnets) checkControlNet(net, components)
  const latents = latentCoder(components.vae, { ...compile, tiling })
  const trace = traceMmdit(components.transformer.config.in_channels)
  const working = {
    prompts: prompts(components, compile, done),
    transformer: denoiser(components.transformer, trace, compile, { quantize }),
    skipping: denoiser(components.transformer, trace, compile, { quantize }),
    latents,
  }
  return {
    ...working,
    components,
    factor: latents.factor,
    controlnets,
    done,
    async release() {
      for (const part of Object.values(working)) await part.release()
    },
  }
}

async function withLoras(
  components: Components,
  given: NonNullable<LoadOptions['loras']>,
  { hub }: LoadOptions,
): Promise<Components> {
  if (given.length === 0) return components
  const loras = await Promise.all(
    given.map(async ({ file, weight = 1 }) => ({ lora: openLora(await resolveLora(file, hub)), weight })),
  )
  const present = [...components.clips, components.t5].filter((one) => one !== undefined)
  const networks = new Map<string, Weights>([
    ['transformer', components.transformer.weights],
    ...present.map(({ name, weights }) => [name, weights] as const),
  ])
  const merged = await mergeLoras(networks, loras)
  const own = <T extends { readonly weights: Weights }>(name: string, part: T): T => ({
    ...part,
    weights: merged.get(name) as Weights,
  })
  const [first, second] = components.clips.map((one) => one && own(one.name, one))
  const t5 = components.t5 && own(components.t5.name, components.t5)
  return { ...components, transformer: own('transformer', components.transformer), clips: [first, second], t5 }
}
