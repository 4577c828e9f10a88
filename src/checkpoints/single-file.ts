import { bytesPer } from '../core/dtype.ts'
import { LangevinError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { FileTensor, Weights } from '../runtime/weights.ts'
import { listing } from './errors.ts'
import { readTensor } from './safetensors.ts'
import {
  clipKey,
  openClipKey,
  openClipKeyBack,
  type UnetLayout,
  unetKey,
  unetKeyBack,
  vaeKey,
  vaeKeyBack,
} from './single-file-keys.ts'

type Value = NdArray | FileTensor

/** Families of Stable Diffusion whose originals are single files. */
export type Family = 'sd1' | 'sd2' | 'xl-base' | 'xl-refiner'

/** A single file that is none of those families', or holds keys that they do not have. */
export class SingleFileError extends LangevinError {
  readonly place: string
  readonly keys: readonly string[]

  constructor(place: string, reason: string, keys: readonly string[] = []) {
    super([`${place}: ${reason}`, ...listing('keys', keys)].join('\n'))
    this.place = place
    this.keys = keys
  }
}

type TextForm = 'clip' | 'open-clip'
interface TextPlace {
  readonly prefix: string
  readonly form: TextForm
  readonly projected: boolean
}

/** Where each family's originals keep their text encoders, by diffusers' name of the component. */
const textPlaces: Readonly<Record<Family, Readonly<Record<string, TextPlace>>>> = {
  sd1: { text_encoder: { prefix: 'cond_stage_model.transformer.', form: 'clip', projected: false } },
  sd2: { text_encoder: { prefix: 'cond_stage_model.model.', form: 'open-clip', projected: false } },
  'xl-base': {
    text_encoder: { prefix: 'conditioner.embedders.0.transformer.', form: 'clip', projected: false },
    text_encoder_2: { prefix: 'conditioner.embedders.1.model.', form: 'open-clip', projected: true },
  },
  'xl-refiner': { text_encoder_2: { prefix: 'conditioner.embedders.0.model.', form: 'open-clip', projected: true } },
}

const unetPrefix = 'model.diffusion_model.'
const vaePrefixes = ['first_stage_model.', 'vae.']

/** What originals hold beside their networks: averages, schedules, losses, marks. */
const ignored =
  /^(model_ema\.|first_stage_model\.(loss|model_ema)\.|(sqrt_|log_)|(alphas_cumprod|betas|posterior_|logvar|lvlb_|denoiser\.|cond_stage_key|global_step|v_pred|ztsnr|edm_mean|edm_std|scale_factor|low_scale_model\.|depth_model\.|embedding_manager\.)|.*logit_scale$)/

/** Stable Diffusion 2 takes the state before the last layer: diffusers' text encoder has 23 of the original's 24. */
const unusedIn2 = /^transformer\.resblocks\.23\./

/** The family, by where the text encoders lie; by the width of the context where the file holds a U-Net alone. */
export function familyOf(weights: Weights, place = 'single file'): Family {
  const has = (prefix: string) => [...weights.keys()].some((key) => key.startsWith(prefix))
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
    'not an original of Stable Diffusion 1, 2 or XL: no text encoder and no U-Net of theirs. A folder opens with openWeights',
    [...weights.keys()].slice(0, 5),
  )
}

/** An original's networks under diffusers' and transformers' keys, each component for itself. */
export interface SingleFile {
  readonly family: Family
  /** `unet`, `vae`, `text_encoder`, `text_encoder_2`: those that the file holds. */
  readonly components: ReadonlyMap<string, Weights>
}

/**
 * The components of a single-file original. No tensor is copied but OpenCLIP's projection, which is transposed.
 *
 * @param place what errors call the file
 * @throws SingleFileError with every key that has no place
 */
export function fromSingleFile(weights: Weights, place = 'single file'): SingleFile {
  const family = familyOf(weights, place)
  const components = new Map<string, Map<string, Value>>()
  const unknown: string[] = []
  const put = (component: string, key: string | undefined, original: string, value: Value) => {
    const own = components.get(component) ?? new Map<string, Value>()
    if (key === undefined || own.has(key)) return unknown.push(original)
    components.set(component, own.set(key, value))
  }
  const layout = layoutOf(weights, family)
  const vaePrefix = vaePrefixes.find((prefix) => [...weights.keys()].some((key) => key.startsWith(prefix))) ?? ''
  const levels = levelsOf(weights.keys(), /\bdecoder\.up\.(\d+)\./)
  for (const [key, value] of weights) {
    const text = Object.entries(textPlaces[family]).find(([, { prefix }]) => key.startsWith(prefix))
    if (ignored.test(key)) continue
    else if (key.startsWith(unetPrefix)) put('unet', unetKey(key.slice(unetPrefix.length), layout), key, value)
    else if (vaePrefix && key.startsWith(vaePrefix)) {
      const name = vaeKey(key.slice(vaePrefix.length), levels)
      put('vae', name, key, name?.includes('.attentions.') ? flattened(value) : value)
    } else if (text) {
      const [component, { prefix, form, projected }] = text
      const rest = key.slice(prefix.length)
      if (!projected && rest.startsWith('text_projection')) continue
      if (form === 'open-clip') putOpenClip(rest, value, family, (name, part) => put(component, name, key, part))
      else if (!rest.endsWith('position_ids')) put(component, clipKey(rest), key, value)
    } else unknown.push(key)
  }
  if (unknown.length > 0) throw new SingleFileError(place, `${unknown.length} keys have no place in ${family}`, unknown)
  return { family, components }
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
    } else if (text?.form === 'clip') {
      for (const [key, value] of weights) put(text.prefix, clipKey(key), key, value)
    } else if (text) {
      for (const [key, value] of weights) {
        const letter = /\.self_attn\.([qkv])_proj\./.exec(key)?.[1]
        const name = openClipKeyBack(letter ? key.replace(`.${letter}_proj.`, '.{qkv}_proj.') : key)
        if (letter === undefined) put(text.prefix, name, key, name === 'text_projection' ? transposed(value) : value)
        else if (letter === 'q') {
          const parts = ['q', 'k', 'v'].map((one) => weights.get(key.replace('.q_proj.', `.${one}_proj.`)))
          if (parts.every((part) => part !== undefined)) put(text.prefix, name, key, NdArray.concat(parts.map(inMemory)))
          else unknown.push(`${component}: ${key} without its k_proj and v_proj`)
        }
      }
    } else unknown.push(component)
  }
  if (unknown.length > 0)
    throw new SingleFileError(place, `${unknown.length} keys have no place in an original of ${family}`, unknown)
  return out
}

function levelsOf(keys: Iterable<string>, pattern: RegExp): number {
  let most = 0
  for (const key of keys) most = Math.max(most, 1 + Number(pattern.exec(key)?.[1] ?? -1))
  return most
}

/** The first downsampler stands behind the first level's blocks. */
function layoutOf(weights: Weights, family: Family): UnetLayout {
  const down = [...weights.keys()].flatMap((key) => /input_blocks\.(\d+)\.0\.op\.weight$/.exec(key)?.[1] ?? [])
  const layers = down.length > 0 ? Math.min(...down.map(Number)) - 1 : 2
  return { layers, sizes: family.startsWith('xl'), attended: new Set() }
}

function layoutBack(weights: Weights): UnetLayout {
  const keys = [...weights.keys()]
  const attended = new Set(keys.flatMap((key) => /^up_blocks\.(\d+)\.attentions\./.exec(key)?.[1] ?? []).map(Number))
  const layers = levelsOf(keys, /^down_blocks\.0\.resnets\.(\d+)\./)
  return { layers, sizes: weights.has('add_embedding.linear_1.weight'), attended }
}

const inMemory = (value: Value): NdArray => ('file' in value ? readTensor(value) : value)

/** The same elements in another shape. */
const shaped = (value: Value, shape: readonly number[]): Value =>
  'file' in value ? { ...value, shape } : new NdArray(value.data, shape, value.dtype)

/** A 1×1 convolution as a linear layer. */
const flattened = (value: Value): Value => (value.shape.length > 2 ? shaped(value, value.shape.slice(0, 2)) : value)
const unflattened = (value: Value): Value => shaped(value, [...value.shape, 1, 1])

/** The first, second or last third of the rows. */
function third(value: Value, which: number): Value {
  const rows = (value.shape[0] as number) / 3
  const shape = [rows, ...value.shape.slice(1)]
  const size = shape.reduce((a, b) => a * b)
  if ('file' in value) return { ...value, shape, offset: value.offset + which * size * bytesPer[value.dtype] }
  return new NdArray(value.data.slice(which * size, (which + 1) * size) as never, shape, value.dtype)
}

function transposed(value: Value): NdArray {
  const { data, shape, dtype } = inMemory(value)
  const [rows, columns] = shape as [number, number]
  const out = NdArray.zeros([columns, rows], dtype)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out.data[j * rows + i] = data[i * columns + j] as never
  return out
}
