import { LangevinError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Weights } from '../runtime/weights.ts'
import { fromDit, isDit, toDit } from './dit-keys.ts'
import { listing } from './errors.ts'
import { readTensor } from './safetensors.ts'
import { rescaled } from './scaled-fp8.ts'
import { fromSd3, toSd3 } from './sd3-keys.ts'
import { clipKey, openClipKey, openClipKeyBack, unetKey, unetKeyBack, vaeKey, vaeKeyBack } from './single-file-keys.ts'
import { identity, isSd3, sd3Texts } from './single-file-sd3.ts'
import { flattened, layoutBack, layoutOf, levelsOf, third, transposed, unflattened, type Value } from './single-file-values.ts'

/** Families that are published as single-file checkpoints: Stable Diffusion's, and DiT, whose files hold the transformer alone. */
export type Family = 'sd1' | 'sd2' | 'xl-base' | 'xl-refiner' | 'sd3' | 'dit'

/** A file that is no checkpoint of those families, or components that such a file has no place for. */
export class SingleFileError extends LangevinError {
  readonly place: string
  readonly keys: readonly string[]

  constructor(place: string, reason: string, keys: readonly string[] = []) {
    super([`${place}: ${reason}`, ...listing('keys', keys)].join('\n'))
    this.place = place
    this.keys = keys
  }
}

type TextForm = 'clip' | 'open-clip' | 't5'
interface TextPlace {
  readonly prefix: string
  readonly form: TextForm
  readonly projected: boolean
}

/** Where each family's single files keep their text encoders, by diffusers' name of the component. */
const textPlaces: Readonly<Record<Family, Readonly<Record<string, TextPlace>>>> = {
  sd1: { text_encoder: { prefix: 'cond_stage_model.transformer.', form: 'clip', projected: false } },
  sd2: { text_encoder: { prefix: 'cond_stage_model.model.', form: 'open-clip', projected: false } },
  'xl-base': {
    text_encoder: { prefix: 'conditioner.embedders.0.transformer.', form: 'clip', projected: false },
    text_encoder_2: { prefix: 'conditioner.embedders.1.model.', form: 'open-clip', projected: true },
  },
  'xl-refiner': { text_encoder_2: { prefix: 'conditioner.embedders.0.model.', form: 'open-clip', projected: true } },
  sd3: {
    text_encoder: { prefix: sd3Texts.text_encoder, form: 'clip', projected: true },
    text_encoder_2: { prefix: sd3Texts.text_encoder_2, form: 'clip', projected: true },
    text_encoder_3: { prefix: sd3Texts.text_encoder_3, form: 't5', projected: false },
  },
  dit: {},
}

const unetPrefix = 'model.diffusion_model.'
const vaePrefixes = ['first_stage_model.', 'vae.']

/** What single files hold beside their networks: EMA weights, schedules, losses, marks. */
const ignored =
  /^(model_ema\.|first_stage_model\.(loss|model_ema)\.|(sqrt_|log_)|(alphas_cumprod|betas|posterior_|logvar|lvlb_|denoiser\.|cond_stage_key|global_step|v_pred|ztsnr|edm_mean|edm_std|scale_factor|low_scale_model\.|depth_model\.|embedding_manager\.)|.*logit_scale$)/

/** Stable Diffusion 2 takes the state before the last layer: diffusers' text encoder has 23 of the file's 24. */
const unusedIn2 = /^transformer\.resblocks\.23\./

/** The family, by where the text encoders lie; by the width of the context where the file holds a U-Net alone. */
export function familyOf(weights: Weights, place = 'single file'): Family {
  const has = (prefix: string) => [...weights.keys()].some((key) => key.startsWith(prefix))
  if (isSd3(weights)) return 'sd3'
  if (isDit(weights)) return 'dit'
  if (has('conditioner.embedders.1.')) return 'xl-base'
  if (has('conditioner.embedders.0.model.')) return 'xl-refiner'
  if (has('cond_stage_model.model.')) return 'sd2'
  if (has('cond_stage_model.transformer.')) return 'sd1'
  for (const [key, { shape }] of weights) {
    if (!key.startsWith(unetPrefix) || !key.endsWith('.attn2.to_k.weight')) continue
    const family = ({ 768: 'sd1', 1024: 'sd2', 2048: 'xl-base', 1280: 'xl-refiner' } as const)[shape[1] as 768]
    if (family) return family
  }
  throw new SingleFileError(
    place,
    'no single-file checkpoint of Stable Diffusion 1, 2, XL or 3, nor of DiT: no text encoder, no U-Net and no transformer of theirs. A folder opens with openWeights',
    [...weights.keys()].slice(0, 5),
  )
}

/** A single-file checkpoint's networks under diffusers' and transformers' keys, each component for itself. */
export interface SingleFile {
  readonly family: Family
  /** `unet` or `transformer`, `vae`, `text_encoder`, `text_encoder_2`, `text_encoder_3`: those that the file holds. */
  readonly components: ReadonlyMap<string, Weights>
  /** Keys of the file that no component has a place for, as the file spells them: tell whoever opens it. */
  readonly unknown?: readonly string[]
}

/**
 * The components of a single-file checkpoint. No tensor is copied but OpenCLIP's projection, which is transposed, and two modulations of
 * Stable Diffusion 3. Keys without a place
 * are listed in `unknown`; whether a network is complete, its own opening says.
 *
 * @param place what errors call the file
 * @throws SingleFileError for a file of another family
 */
export function fromSingleFile(stored: Weights, place = 'single file'): SingleFile {
  const weights = rescaled(stored)
  const family = familyOf(weights, place)
  if (family === 'dit') {
    const found = fromDit(weights)
    return { family, components: new Map([['transformer', found.weights]]), unknown: found.unknown }
  }
  const components = new Map<string, Map<string, Value>>()
  const unknown: string[] = []
  const put = (component: string, key: string | undefined, original: string, value: Value) => {
    const own = components.get(component) ?? new Map<string, Value>()
    if (key === undefined || own.has(key)) return unknown.push(original)
    components.set(component, own.set(key, value))
  }
  const layout = layoutOf(weights, family.startsWith('xl'))
  const vaePrefix = vaePrefixes.find((prefix) => [...weights.keys()].some((key) => key.startsWith(prefix))) ?? ''
  const levels = levelsOf(weights.keys(), /\bdecoder\.up\.(\d+)\./)
  const transformer = new Map<string, Value>()
  for (const [key, value] of weights) {
    const text = Object.entries(textPlaces[family]).find(([, { prefix }]) => key.startsWith(prefix))
    if (ignored.test(key)) continue
    else if (
      family === 'sd3' &&
      /^(model\.diffusion_model\.)?((joint_blocks|[xty]_embedder|context_embedder|final_layer)\.|pos_embed$)/.test(key)
    )
      transformer.set(key.startsWith(unetPrefix) ? key.slice(unetPrefix.length) : key, value)
    else if (key.startsWith(unetPrefix)) put('unet', unetKey(key.slice(unetPrefix.length), layout), key, value)
    else if (vaePrefix && key.startsWith(vaePrefix)) {
      const name = vaeKey(key.slice(vaePrefix.length), levels)
      put('vae', name, key, name?.includes('.attentions.') ? flattened(value) : value)
    } else if (text) {
      const [component, { prefix, form, projected }] = text
      const rest = key.slice(prefix.length)
      if (!projected && rest.startsWith('text_projection')) continue
      if (form === 't5') put(component, rest, key, value)
      else if (form === 'open-clip') putOpenClip(rest, value, family, (name, part) => put(component, name, key, part))
      else if (!rest.endsWith('position_ids')) put(component, clipKey(rest), key, value)
    } else unknown.push(key)
  }
  if (family === 'sd3') {
    const found = fromSd3(transformer)
    components.set('transformer', new Map(found.weights))
    unknown.push(...found.unknown)
    const width = components.get('text_encoder')?.get('text_model.embeddings.token_embedding.weight')?.shape[1]
    const key = 'text_projection.weight'
    if (width !== undefined && !components.get('text_encoder')?.has(key))
      components.get('text_encoder')?.set(key, identity(width))
  }
  return { family, components, unknown }
}

function putOpenClip(key: string, value: Value, family: Family, put: (key: string | undefined, value: Value) => void): void {
  if (family === 'sd2' && unusedIn2.test(key)) return
  const name = openClipKey(key)
  if (name === 'text_projection.weight') put(name, transposed(value))
  else if (!name?.includes('{qkv}')) put(name, value)
  else for (const [i, letter] of ['q', 'k', 'v'].entries()) put(name.replace('{qkv}', letter), third(value, i))
}

/**
 * The way back: components under diffusers' keys as one file's. Stable Diffusion 2's last text layer, which diffusers does not
 * keep, is not there then.
 *
 * @throws SingleFileError with every key that has no place
 */
export function toSingleFile({ family, components }: SingleFile, place = 'single file'): Weights {
  const out = new Map<string, Value>()
  const unknown: string[] = []
  for (const [component, weights] of components) {
    const put = (prefix: string, key: string | undefined, original: string, value: Value) => {
      if (key === undefined) unknown.push(`${component}: ${original}`)
      else out.set(prefix + key, value)
    }
    const text = textPlaces[family][component]
    if (component === 'unet') {
      const layout = layoutBack(weights)
      for (const [key, value] of weights) put(unetPrefix, unetKeyBack(key, layout), key, value)
    } else if (component === 'vae') {
      const levels = levelsOf(weights.keys(), /^decoder\.up_blocks\.(\d+)\./)
      for (const [key, value] of weights) {
        const name = vaeKeyBack(key, levels)
        put(
          vaePrefixes[0] as string,
          name,
          key,
          name && /attn_1\.(q|k|v|proj_out)\.weight$/.test(name) ? unflattened(value) : value,
        )
      }
    } else if (component === 'transformer' && (family === 'sd3' || family === 'dit')) {
      const back = family === 'dit' ? toDit(weights) : toSd3(weights)
      for (const [key, value] of back.weights) put(family === 'dit' ? '' : unetPrefix, key, key, value)
      unknown.push(...back.unknown.map((key) => `${component}: ${key}`))
    } else if (text?.form === 't5') {
      for (const [key, value] of weights) put(text.prefix, key, key, value)
    } else if (text?.form === 'clip') {
      for (const [key, value] of weights) put(text.prefix, clipKey(key), key, value)
    } else if (text) {
      for (const [key, value] of weights) {
        const letter = /\.self_attn\.([qkv])_proj\./.exec(key)?.[1]
        const name = openClipKeyBack(letter ? key.replace(`.${letter}_proj.`, '.{qkv}_proj.') : key)
        if (letter === undefined) put(text.prefix, name, key, name === 'text_projection' ? transposed(value) : value)
        else if (letter === 'q') {
          const parts = ['q', 'k', 'v'].map((one) => weights.get(key.replace('.q_proj.', `.${one}_proj.`)))
          if (parts.every((part) => part !== undefined)) put(text.prefix, name, key, NdArray.concat(parts.map(readTensor)))
          else unknown.push(`${component}: ${key} without its k_proj and v_proj`)
        }
      }
    } else unknown.push(component)
  }
  if (unknown.length > 0)
    throw new SingleFileError(place, `${unknown.length} keys have no place in a single file of ${family}`, unknown)
  return out
}

/** The weights whose keys begin with a prefix, without it. */
export const prefixed = (weights: Weights, prefix: string): Weights =>
  new Map([...weights].flatMap(([key, value]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), value] as const] : [])))
