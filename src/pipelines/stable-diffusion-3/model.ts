import type { ConfigOf } from '../open/classes.ts'
import { type Network, openNetworkAt } from '../open/network.ts'
import type { Opened, Releasable } from '../page.ts'
import { type LatentCoder, latentCoder } from '../parts/autoencoder.ts'
import { type Denoiser, denoiser } from '../parts/denoiser.ts'
import { type LoraOptions, withLoras } from '../parts/loras.ts'
import { traceMmdit } from '../parts/mmdit.ts'
import type { Components } from './components.ts'
import { type ControlNet, checkControlNet } from './controlnet.ts'
import { type Prompts, prompts } from './prompts.ts'

export interface LoadOptions extends LoraOptions {
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
  const { controlnets: names = [], tiling, quantize } = load
  const components = await merged(stored, load)
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

async function merged(components: Components, load: LoadOptions): Promise<Components> {
  const { transformer, clips, t5 } = components
  const texts = [...clips, t5].flatMap((one) => (one ? [[one.name, one] as const] : []))
  const networks: Record<string, Network<unknown> | undefined> = { transformer, ...Object.fromEntries(texts) }
  const found = await withLoras(networks, load)
  const own = <T extends { readonly name: string }>(part: T | undefined) => part && (found[part.name] as unknown as T)
  const [first, second] = clips
  return { ...components, transformer: found.transformer as typeof transformer, clips: [own(first), own(second)], t5: own(t5) }
}
