import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import type { Pipeline } from '../../pipelines/index.ts'
import { scaled } from './load.ts'
import type { Options } from './options.ts'
import type { Entry } from './write.ts'

/** Which pictures a run makes. */
export interface Run {
  readonly seed: number | undefined
  readonly num: number
  /** How many pictures are one grid. */
  readonly grid: number | undefined
}

/** A file by its last part, as its folder is nobody's business; a name on the hub as it is. */
const publicName = (path: string): string => (existsSync(path) || !/^[\w.-]+\/[\w./-]+$/.test(path) ? basename(path) : path)

const weighted = (text: string): string => {
  const { name, scale } = scaled(text)
  return scale === undefined ? publicName(name) : `${publicName(name)}:${scale}`
}

/** What is written with the k-th picture of a run. */
export function describe(
  given: Options,
  { prompt, negative }: Readonly<Record<string, unknown>>,
  {
    settings: { Steps, Sampler, 'Sampler options': own, 'CFG scale': guidance, Size, ...more },
    together,
    prompts,
  }: ReturnType<Pipeline['plan']>,
  { seed, num, grid }: Run,
): (k: number, size: string) => Entry {
  const names = (list: readonly string[]) => list.map(publicName).join('; ') || undefined
  const shared = together && num > 1 && grid === undefined
  return (k, size) => ({
    prompt: prompts?.[k]?.prompt ?? String(prompt ?? ''),
    negative: prompts ? prompts[k]?.negative : (negative as string | undefined),
    settings: {
      ...{ Steps, Sampler, 'Sampler options': own, 'CFG scale': guidance },
      Seed: seed === undefined || shared ? seed : seed + k,
      // One of several that share what the first one's generator draws: its own seed alone would give another.
      ...(shared && { 'Batch size': num, 'Batch pos': k }),
      Pictures: grid,
      Size: Size ?? size,
      Model: publicName(given.model).replace(/\.safetensors$/, ''),
      ...more,
      References: names(given.reference),
      ControlNet: names(given.controlnet),
      'IP-Adapter': given.ipAdapter.map(weighted).join('; ') || undefined,
      'T2I-Adapter': given.adapter.map(weighted).join('; ') || undefined,
      Lora: given.lora.map(weighted).join('; ') || undefined,
      'Textual inversion': names(given.inversion),
      VAE: given.vae && publicName(given.vae),
      Prior: given.prior && publicName(given.prior),
      Refiner: given.refiner && publicName(given.refiner),
      'Step cache': given.cache,
      Quantization: given.quantize,
      'VAE tiling': given.tiling ? 'true' : undefined,
      'Initial noise': given.latents && basename(given.latents),
      'Prompt embeddings': given.promptEmbeds && basename(given.promptEmbeds),
      'Picture embeddings': given.imageEmbeds && basename(given.imageEmbeds),
      Upscaler: given.upscale === undefined || given.upscale === 'none' ? undefined : weighted(given.upscale),
      'X/Y/Z': given.xyz,
    },
  })
}
