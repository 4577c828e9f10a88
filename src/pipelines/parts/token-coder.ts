import { input } from '../../core/tensor.ts'
import {
  type DiscreteVAEConfig,
  DVAE_FACTOR,
  hardTokens,
  type OpenAIDiscreteVAEConfig,
  type TokenAutoencoder,
} from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { build } from '../open/classes.ts'
import { type Network, openNetwork, storedIn } from '../open/network.ts'
import { network } from '../open/parts.ts'
import { inParts } from '../options.ts'
import { turns } from './turns.ts'

/** An autoencoder between pictures and tokens. */
export type TokenNetwork =
  | (Network<OpenAIDiscreteVAEConfig> & { readonly className: 'OpenAIDiscreteVAE' })
  | (Network<DiscreteVAEConfig> & { readonly className: 'DiscreteVAE' })

const classes = ['OpenAIDiscreteVAE', 'DiscreteVAE'] as const

/** Such an autoencoder among a page's parts. */
export const tokenAutoencoder = () => network(classes)

/** An autoencoder of tokens at work. */
export interface TokenCoder {
  /** Codes that there are. */
  readonly codes: number
  /** Pixels a side that one token stands for. */
  readonly factor: number
  /** images [N, C, H, W] in [−1, 1] → the likeliest codes, i64 [N, H/f, W/f]. */
  encode(images: NdArray<'f32'>): Promise<NdArray<'i64'>>
  /** Tokens, i64 [N, h, w] → images in [−1, 1]. */
  decode(tokens: NdArray<'i64'>): Promise<NdArray<'f32'>>
  /** Frees the engine's memory. */
  release(): Promise<void>
}

export interface TokenCoderOptions extends CompileOptions {
  /** Pictures at once. */
  readonly batch?: number
  readonly signal?: AbortSignal | undefined
}

/** The function of such an autoencoder. */
export function tokenNetwork(vae: Pick<TokenNetwork, 'className' | 'config'>, p = new Params()): TokenAutoencoder {
  return vae.className === 'DiscreteVAE'
    ? build(vae.className, p, vae.config as DiscreteVAEConfig)
    : build(vae.className, p, vae.config as OpenAIDiscreteVAEConfig)
}

/** A checkpoint's autoencoder at work, a program a shape. */
export function tokenCoder(vae: TokenNetwork, { batch = 16, signal, ...options }: TokenCoderOptions = {}): TokenCoder {
  const { weights } = vae
  const turn = turns()
  const programs = new Programs((key: string) => {
    const [way, ...shape] = key.split(' ')
    const network = tokenNetwork(vae)
    const x = input('x', shape.map(Number), way === 'encode' ? 'f32' : 'i64')
    const y = way === 'encode' ? hardTokens(network.encode(x.add(1).div(2))) : network.decodeTokens(x).mul(2).sub(1)
    return compile({ outputs: { y }, weights }, options)
  }, 4)
  const code = (way: string, x: NdArray) =>
    turn(() =>
      inParts(x.shape[0] as number, { batch, signal }, async (from, to) => {
        const part = x.slice(0, from, to)
        const program = await programs.get([way, ...part.shape].join(' '))
        return (await program.run({ x: part })).y as NdArray
      }),
    )
  return {
    codes: vae.className === 'DiscreteVAE' ? vae.config.num_tokens : vae.config.vocab_size,
    factor: vae.className === 'DiscreteVAE' ? 2 ** vae.config.num_layers : DVAE_FACTOR,
    encode: (images) => code('encode', images) as Promise<NdArray<'i64'>>,
    decode: (tokens) => code('decode', tokens) as Promise<NdArray<'f32'>>,
    release: () => turn(() => programs.release()),
  }
}

/**
 * Opens the folder of an autoencoder of tokens, with `config.json`.
 *
 * @throws ConfigError, FolderError, ModelConfigError, CheckpointError: what is wrong with which file
 */
export const loadTokenCoder = (dir: string, options: TokenCoderOptions = {}): TokenCoder =>
  tokenCoder(openNetwork(storedIn(dir, classes)) as TokenNetwork, options)
