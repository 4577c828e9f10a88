import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { openSafetensors, readTensor, SafetensorsError, writeSafetensors } from '../../../checkpoints/index.ts'
import type { AutoencoderKLConfig } from '../../../models/vae/index.ts'
import { createAutoencoder, type TokenNetwork, tokenCoder, type VideoNetwork, videoCoder } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { cacheFolder } from '../../../runtime/node/cache.ts'
import type { Weights } from '../../../runtime/weights.ts'
import { positionsFrom } from '../../positions.ts'

/** Positions that are encoded together. */
const CHUNK = 16

export interface PoolOptions {
  /** Pictures [B, 3, H, W] at positions, in [−1, 1]. */
  images(positions: readonly number[]): Promise<NdArray<'f32'>>
  /** Positions 0 … count − 1. */
  readonly count: number
  /** What else decides what the positions show. */
  readonly stamp: object
  /** Where whole pools are kept; the cache folder by default. */
  readonly folder?: string
}

/** What encodes pictures, a row each. */
interface Encoder {
  encode(images: NdArray<'f32'>): Promise<NdArray>
  release(): Promise<void>
}

/** Codes at positions of a pool: [positions, …]. */
export type Pool = (positions: readonly number[]) => Promise<NdArray>

/**
 * What an encoder makes of a dataset's first pictures, made when it is first asked for. They are encoded in fixed groups, so that the same
 * position always has the same codes, bit for bit. A pool that is whole is kept in a file, which a resumed run reads; a damaged one is
 * made again.
 */
function encodedPool({ images, count, stamp, folder = cacheFolder('latents') }: PoolOptions, open: () => Encoder): Pool {
  const name = createHash('sha256').update(JSON.stringify(stamp)).digest('hex').slice(0, 16)
  const file = join(folder, `${name}.safetensors`)
  const stored = existsSync(file) ? read(file) : undefined
  const chunks: (NdArray | undefined)[] = Array.from({ length: Math.ceil(count / CHUNK) }, (_, at) =>
    stored?.slice(0, at * CHUNK, Math.min(count, (at + 1) * CHUNK)),
  )
  let missing = stored ? 0 : chunks.length
  let coder: Encoder | undefined

  return async (positions) => {
    const found: NdArray[] = []
    for (const position of positions) {
      const at = Math.floor(position / CHUNK)
      const chunk = chunks[at] ?? (await encoded(at))
      found.push(chunk.slice(0, position % CHUNK, (position % CHUNK) + 1))
    }
    return NdArray.concat(found)
  }

  async function encoded(at: number): Promise<NdArray> {
    coder ??= open()
    const codes = await coder.encode(await images(positionsFrom(at * CHUNK, CHUNK)))
    chunks[at] = codes
    if (--missing === 0) {
      await coder.release()
      writeSafetensors(file, [['latents', NdArray.concat(chunks as NdArray[]).slice(0, 0, count)]])
      removeOldest(folder)
    }
    return codes
  }
}

export interface LatentPoolOptions extends PoolOptions {
  readonly vae: { readonly config: AutoencoderKLConfig; readonly weights: Weights }
}

/** Latents at positions of a pool: [positions, C, h, w]. */
export type LatentPool = (positions: readonly number[]) => Promise<NdArray<'f32'>>

/** A pool of latents as a diffusion model takes them: the encoder's means, scaled. */
export function latentPool({ vae, stamp, ...options }: LatentPoolOptions): LatentPool {
  const { count } = options
  const whole = { ...stamp, count, CHUNK, weights: digestOf(vae.weights), config: vae.config }
  return encodedPool({ ...options, stamp: whole }, () => {
    const { encode, release } = createAutoencoder(vae)
    return { encode: async (images) => (await encode(images)).mul(vae.config.scaling_factor), release }
  }) as LatentPool
}

export interface FilmPoolOptions extends Omit<PoolOptions, 'images'> {
  /** Films [1, 3, T, H, W] at positions, in [−1, 1]. */
  films(positions: readonly number[]): Promise<readonly NdArray<'f32'>[]>
  readonly vae: VideoNetwork
  /** What latents are multiplied by. */
  readonly scale: number
}

/** A pool of films' latents as a diffusion model takes them: [positions, C, T, h, w]. */
export function filmPool({ films, vae, scale, stamp, ...options }: FilmPoolOptions): LatentPool {
  const whole = { ...stamp, count: options.count, CHUNK, scale, weights: digestOf(vae.weights), config: vae.config }
  // A group's films as one array, of which the encoder takes one after another.
  const images = async (positions: readonly number[]) => NdArray.concat(await films(positions))
  return encodedPool({ ...options, images, stamp: whole }, () => {
    const { encodeMean, release } = videoCoder(vae, {})
    const each = async (group: NdArray<'f32'>) => {
      const made: NdArray[] = []
      for (let i = 0; i < (group.shape[0] as number); i++) made.push((await encodeMean(group.slice(0, i, i + 1))).mul(scale))
      return NdArray.concat(made)
    }
    return { encode: each, release }
  }) as LatentPool
}

export interface TokenPoolOptions extends PoolOptions {
  readonly dvae: TokenNetwork
}

/** Tokens at positions of a pool: i64 [positions, h, w]. */
export type TokenPool = (positions: readonly number[]) => Promise<NdArray<'i64'>>

/** A pool of tokens as DALL·E's transformer takes them: the likeliest codes. */
export function tokenPool({ dvae, stamp, ...options }: TokenPoolOptions): TokenPool {
  const { count } = options
  const whole = { ...stamp, tokens: true, count, CHUNK, weights: digestOf(dvae.weights), config: dvae.config }
  return encodedPool({ ...options, stamp: whole }, () => tokenCoder(dvae, { batch: CHUNK })) as TokenPool
}

export interface EmbeddingPoolOptions extends PoolOptions {
  /** Pictures to embeddings [N, D], by these weights. */
  readonly clip: { readonly weights: Weights; pictures(images: NdArray<'f32'>): Promise<NdArray<'f32'>> }
}

/** Pictures' embeddings at positions of a pool: [positions, D]. */
export type EmbeddingPool = (positions: readonly number[]) => Promise<NdArray<'f32'>>

/** A pool of CLIP's embeddings, kept apart from latents, of which they are a hundredth. */
export function embeddingPool({
  clip,
  stamp,
  folder = cacheFolder('embeddings'),
  ...options
}: EmbeddingPoolOptions): EmbeddingPool {
  const whole = { ...stamp, embeddings: true, count: options.count, CHUNK, weights: digestOf(clip.weights) }
  const encoder = { encode: clip.pictures, release: async () => {} }
  return encodedPool({ ...options, folder, stamp: whole }, () => encoder) as EmbeddingPool
}

/** Of the files that the weights lie in; values in memory are digested themselves. */
function digestOf(weights: Weights): string {
  const hash = createHash('sha256')
  const files = new Set<string>()
  for (const [key, value] of weights) {
    if ('file' in value) files.add(value.file)
    else hash.update(key).update(new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength))
  }
  for (const file of [...files].sort()) hash.update(readFileSync(file))
  return hash.digest('hex')
}

function read(file: string): NdArray | undefined {
  try {
    const tensor = openSafetensors(file).tensors.get('latents')
    return tensor && readTensor(tensor)
  } catch (error) {
    if (error instanceof SafetensorsError) return undefined
    throw error
  }
}

/** Pools that are kept: one takes 100 MB and more. */
const KEPT = 4

function removeOldest(folder: string): void {
  const age = (name: string) => statSync(join(folder, name)).mtimeMs
  const newest = readdirSync(folder).sort((a, b) => age(b) - age(a))
  for (const name of newest.slice(KEPT)) rmSync(join(folder, name), { force: true })
}
