import { input, type Tensor } from '../../core/tensor.ts'
import type { CogVideoXVaeConfig, FilmAutoencoder, VideoVaeConfig, WanVaeConfig } from '../../models/index.ts'
import { FilmMemory } from '../../nn/causal.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import type { Generator } from '../../runtime/random.ts'
import { build } from '../open/classes.ts'
import type { Network } from '../open/network.ts'
import { turns } from './turns.ts'

/** An autoencoder over time and space. */
export type VideoNetwork =
  | (Network<CogVideoXVaeConfig> & { readonly className: 'AutoencoderKLCogVideoX' })
  | (Network<WanVaeConfig> & { readonly className: 'AutoencoderKLWan' })
  | (Network<VideoVaeConfig> & { readonly className: 'CausalVideoVAE' })

/** Such an autoencoder at work. Latents are the encoder's own, unscaled. */
export interface VideoCoder {
  /** frames [1, 3, T, H, W] in [−1, 1] → the posterior's sample, by one draw of its shape: [1, C, T', h, w]. */
  encode(frames: NdArray<'f32'>, generator: Generator): Promise<NdArray<'f32'>>
  /** The posterior's mean. */
  encodeMean(frames: NdArray<'f32'>): Promise<NdArray<'f32'>>
  /** latents [1, C, T, h, w] → frames [1, 3, T', H, W]. */
  decode(latents: NdArray<'f32'>): Promise<NdArray<'f32'>>
  release(): Promise<void>
}

type Way = 'encode' | 'decode'
type Shapes = Readonly<Record<string, readonly number[]>>

/**
 * A checkpoint's autoencoder at work. A film goes through it in parts, and from one to the next goes what its convolutions over time
 * still see: memory does not grow with the film's length, but for the film's own.
 */
export function videoCoder(vae: VideoNetwork, options: CompileOptions): VideoCoder {
  const turn = turns()
  const network = (p: Params) => build(vae.className, p, vae.config as never) as FilmAutoencoder
  const { parts } = network(new Params())
  const programs = new Programs((key: string) => {
    const { way, shape, before } = JSON.parse(key) as { way: Way; shape: number[]; before: Shapes | null }
    const symbols = before && new Map(Object.entries(before).map(([path, size]) => [path, input(`before ${path}`, size)]))
    const memory = new FilmMemory(symbols ?? undefined)
    const y = network(new Params())[way](input('x', shape), memory)
    const kept = [...memory.kept].map(([path, frames]): [string, Tensor] => [path, frames])
    return compile({ outputs: { ...Object.fromEntries(kept), y }, weights: vae.weights }, options)
  }, 2)

  const through = (way: Way, x: NdArray<'f32'>) =>
    turn(async () => {
      const made: NdArray<'f32'>[] = []
      let before: Readonly<Record<string, NdArray>> | null = null
      let at = 0
      for (const length of parts[way](x.shape[2] as number)) {
        const part = x.slice(2, at, at + length)
        at += length
        const known: Readonly<Record<string, NdArray>> | null = before
        const shapes = known && Object.fromEntries(Object.entries(known).map(([name, { shape }]) => [name, shape]))
        const program = await programs.get(JSON.stringify({ way, shape: part.shape, before: shapes }))
        const fed = Object.entries(known ?? {}).map(([path, frames]) => [`before ${path}`, frames] as const)
        const { y, ...kept } = await program.run({ x: part, ...Object.fromEntries(fed) })
        made.push(y as NdArray<'f32'>)
        before = kept as Readonly<Record<string, NdArray>>
      }
      return NdArray.concat(made, 2)
    })
  return {
    async encode(frames, generator) {
      const moments = await through('encode', frames)
      const half = (moments.shape[1] as number) / 2
      const [mean, logVariance] = [moments.slice(1, 0, half), moments.slice(1, half)]
      return mean.add(logVariance.clamp(-30, 20).mul(0.5).exp().mul(generator.randn(mean.shape))).cast('f32')
    },
    async encodeMean(frames) {
      const moments = await through('encode', frames)
      return moments.slice(1, 0, (moments.shape[1] as number) / 2)
    },
    decode: (latents) => through('decode', latents),
    release: () => turn(() => programs.release()),
  }
}
