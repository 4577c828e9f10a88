import type { Weights } from '../runtime/weights.ts'
import { unetKeyBack } from './single-file-keys.ts'

/** The file beside PEFT's adapters that has their alpha, and the name under which it stands among an adapter's metadata. */
export const adapterConfig = 'adapter_config.json'

/** Endings of an adapter's keys, and the part that each is. */
const endings: readonly (readonly [RegExp, string])[] = [
  [/\.(?:lora_A|lora_down)(?:\.[^.]+)?\.weight$|[._]lora\.down\.weight$|\.lora_linear_layer\.down\.weight$/, 'down'],
  [/\.(?:lora_B|lora_up)(?:\.[^.]+)?\.weight$|[._]lora\.up\.weight$|\.lora_linear_layer\.up\.weight$/, 'up'],
  [/\.lora_mid\.weight$/, 'mid'],
  [/\.alpha$/, 'alpha'],
  [/\.hada_(w[12]_[ab]|t[12])$/, 'hada'],
  [/\.lokr_(w[12](?:_[ab])?|t[12])$/, 'lokr'],
  [/\.diff$/, 'diff'],
  [/\.diff_b$/, 'diff_b'],
  [/\.dora_scale$/, 'dora'],
  [/\.lora_magnitude_vector(?:\.[^.]+)?(?:\.weight)?$/, 'magnitude'],
  [/\.lora_B(?:\.[^.]+)?\.bias$/, 'up_bias'],
  [/\.w_norm$/, 'diff'],
  [/\.b_norm$/, 'diff_b'],
  [/\.oft_blocks$/, 'oft'],
  [/\.rescale$/, 'rescale'],
  [/\.(a[12]|b[12])\.weight$/, 'glora'],
]

/** An adapter's key as the module that it changes, in the file's spelling, and the part that it is. */
export function partOf(key: string): { module: string; part: string } | undefined {
  for (const [pattern, part] of endings) {
    const match = pattern.exec(key)
    if (match)
      return {
        module: key.slice(0, match.index).replace(/^base_model\.model\./, ''),
        part: match[1] === undefined ? part : `${part} ${match[1]}`,
      }
  }
  return undefined
}

/** Whether a key is of an embedding that a trainer put into an adapter's file (`bundle_emb.NAME.…`). */
export const isBundled = (key: string): boolean => key.startsWith('bundle_emb.')

/** What kohya's scripts call a component. */
const kohya: Readonly<Record<string, readonly string[]>> = {
  unet: ['lora_unet_', 'lycoris_unet_'],
  text_encoder: ['lora_te_', 'lora_te1_', 'lycoris_te_', 'lycoris_te1_'],
  text_encoder_2: ['lora_te2_', 'lycoris_te2_'],
  text_encoder_3: ['lora_te3_', 'lycoris_te3_', 'lora_text_encoder_3_'],
}

/** Every way in which adapters call a network's modules → the component and the key of its weight. */
export function moduleNames(networks: ReadonlyMap<string, Weights>): ReadonlyMap<string, readonly [string, string]> {
  const names = new Map<string, readonly [string, string]>()
  const bare = new Map<string, readonly [string, string] | undefined>()
  for (const [component, weights] of networks) {
    const flat = kohya[component] ?? [`lora_${component}_`]
    const back = component === 'unet' ? layoutOf(weights) : undefined
    for (const key of weights.keys()) {
      if (!key.endsWith('.weight')) continue
      const module = key.slice(0, -'.weight'.length)
      const place = [component, key] as const
      const put = (name: string) => names.set(name, place)
      put(`${component}.${module}`)
      // PEFT's own files of one network do not say which.
      bare.set(module, bare.has(module) ? undefined : place)
      // transformers 5 has no `text_model.` in its text encoders.
      const shorter = module.startsWith('text_model.') ? module.slice('text_model.'.length) : undefined
      if (shorter !== undefined) {
        put(`${component}.${shorter}`)
        bare.set(shorter, bare.has(shorter) ? undefined : place)
        for (const prefix of flat) put(prefix + shorter.replaceAll('.', '_'))
      }
      for (const prefix of flat) put(prefix + module.replaceAll('.', '_'))
      // XL's are trained on the original program's U-Net.
      const original = back && unetKeyBack(key, back)
      if (original) for (const prefix of flat) put(prefix + original.slice(0, -'.weight'.length).replaceAll('.', '_'))
      for (const older of olderNames(module)) put(`${component}.${older}`)
    }
  }
  for (const [module, place] of bare) if (place && !names.has(module)) names.set(module, place)
  return names
}

/** diffusers before version 0.21: `attn1.processor.to_q_lora`, and text encoders' projections under a U-Net's names. */
function olderNames(module: string): string[] {
  const attention = /^(.*\.)(to_[qkv]|to_out)(?:\.0)?$/.exec(module)
  if (attention && module.includes('attn')) return [`${attention[1]}processor.${attention[2]}`]
  const text = /^(.*\.self_attn\.)([qkv]|out)_proj$/.exec(module)
  return text ? [`${text[1]}to_${text[2]}`] : []
}

function layoutOf(weights: Weights) {
  const numbers = (pattern: RegExp) => [...weights.keys()].flatMap((key) => pattern.exec(key)?.[1] ?? []).map(Number)
  const layers = 1 + Math.max(-1, ...new Set(numbers(/^down_blocks\.0\.resnets\.(\d+)\./)))
  return {
    layers,
    sizes: weights.has('add_embedding.linear_1.weight'),
    attended: new Set(numbers(/^up_blocks\.(\d+)\.attentions\./)),
  }
}
