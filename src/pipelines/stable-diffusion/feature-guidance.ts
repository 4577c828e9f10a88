import { ArgumentError } from '../../core/errors.ts'
import type { Conditioner } from '../parts/denoiser.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'

/** What changes the U-Net's own features in a run: FreeU and perturbed attention. */
export function featureConditioners({ components }: StableDiffusionModel, settings: Settings): Conditioner[] {
  const { freeu, pagScale, pagLayers } = settings
  return [
    ...(freeu ? [freeUConditioner(freeu)] : []),
    ...(pagScale > 0 ? [perturbation(components.unet.weights.keys(), pagLayers, components.place)] : []),
  ]
}

/** b₁ b₂ s₁ s₂, as diffusers' `enable_freeu` has them (Si et al. 2024). */
function freeUConditioner([b1, b2, s1, s2]: readonly [number, number, number, number]): Conditioner {
  const freeU = [
    { backbone: b1, skip: s1 },
    { backbone: b2, skip: s2 },
  ]
  return { key: JSON.stringify(['freeu', b1, b2, s1, s2]), weights: new Map(), trace: () => ({ freeU }), feeds: () => ({}) }
}

/** The batch's last entry sees, in the chosen self-attentions, each token by itself (Ahn et al. 2024). */
function perturbation(keys: Iterable<string>, wanted: readonly string[], place: string): Conditioner {
  const layers = perturbedLayers(keys, wanted, place)
  return {
    key: JSON.stringify(['perturbed', [...layers]]),
    weights: new Map(),
    trace: () => ({ identity: (layer: string) => (layers.has(layer) ? 1 : 0) }),
    feeds: () => ({}),
  }
}

/**
 * The self-attentions of a U-Net whose names hold one of these parts.
 *
 * @throws ArgumentError for a part that no name holds
 */
export function perturbedLayers(keys: Iterable<string>, wanted: readonly string[], place: string): ReadonlySet<string> {
  const all = [...keys].flatMap((key) => /^(.*(?:\.attn1|attentions\.\d+))\.to_q\.weight$/.exec(key)?.[1] ?? [])
  const found = wanted.map((part) => all.filter((layer) => layer.includes(part) && !isNumberAlone(part, layer)))
  const missing = wanted.find((_, i) => found[i]?.length === 0)
  if (missing === undefined) return new Set(found.flat())
  throw new ArgumentError(`pagLayers: ${place} has no self-attention with ${missing} in its name; it has ${all.join(', ')}`)
}

/** In diffusers `blocks.1` does not mean a layer that is number 1 itself. */
const isNumberAlone = (part: string, layer: string): boolean => {
  const [a, b] = [part, layer].map((name) => name.split('.').at(-1) as string) as [string, string]
  return /^\d+$/.test(a) && a === b
}
