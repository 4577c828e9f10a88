import { type LoraWeight, mergeLoras, openLora, resolveLora } from '../../checkpoints/index.ts'
import type { Weights } from '../../runtime/weights.ts'
import type { LoadOptions } from '../page.ts'

/** What a page of loading takes that merges adapters. */
export interface LoraOptions extends LoadOptions {
  /** LoRA files, PEFT's folders or names on the hub, merged with their weights. */
  readonly loras?: readonly { readonly file: string; readonly weight?: LoraWeight }[]
}

interface Weighted {
  readonly weights: Weights
}

/** Networks by their components' names, with the adapters that loading was asked for merged in. */
export async function withLoras<T extends Readonly<Record<string, Weighted | undefined>>>(
  networks: T,
  { loras: given = [], hub }: LoraOptions,
): Promise<T> {
  if (given.length === 0) return networks
  const loras = await Promise.all(
    given.map(async ({ file, weight = 1 }) => ({ lora: openLora(await resolveLora(file, hub)), weight })),
  )
  const present = Object.entries(networks).flatMap(([name, network]) => (network ? [[name, network] as const] : []))
  const merged = await mergeLoras(new Map(present.map(([name, { weights }]) => [name, weights])), loras)
  return { ...networks, ...Object.fromEntries(present.map(([name, one]) => [name, { ...one, weights: merged.get(name) }])) }
}
