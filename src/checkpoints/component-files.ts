import type { Weights } from '../runtime/weights.ts'
import { prefixed, SingleFileError } from './single-file.ts'
import { controlNetConfig, vaeConfig } from './single-file-configs.ts'
import { controlNetKey, t2iAdapterKey, vaeKey } from './single-file-keys.ts'
import { flattened, layoutOf, levelsOf, type Value } from './single-file-values.ts'

/** One network that lies in a file of its own. */
export interface ComponentFile {
  readonly className: 'AutoencoderKL' | 'ControlNetModel' | 'T2IAdapter'
  /** diffusers' fields as far as shapes tell them; the others have their defaults. */
  readonly config: Readonly<Record<string, unknown>>
  /** Under diffusers' keys. No tensor is copied. */
  readonly weights: Weights
  /** Keys of the file that the network has no place for. */
  readonly unknown: readonly string[]
}

export interface ComponentFileOptions {
  /** What errors call the file. */
  readonly place?: string
  /**
   * Fields of an autoencoder's config that no shape tells, above all `scaling_factor`: the files of Stable Diffusion 1 and XL are alike
   * to the last shape, and differ in it. By default Stable Diffusion 1's.
   */
  readonly autoencoder?: Readonly<Record<string, unknown>>
}

/**
 * An autoencoder, a ControlNet or a T2I-Adapter that is one file, with the keys of the original programs or with diffusers'. An
 * autoencoder inside a whole checkpoint is found too.
 *
 * @throws SingleFileError for a file of something else
 */
export function fromComponentFile(weights: Weights, options: ComponentFileOptions = {}): ComponentFile {
  const { place = 'file' } = options
  const has = (pattern: RegExp) => [...weights.keys()].some((key) => pattern.test(key))
  if (has(/^(control_model\.)?(input_hint_block\.0\.weight|zero_convs\.0\.)|^controlnet_cond_embedding\.conv_in\.weight$/))
    return controlNet(weights, place)
  if (has(/^(adapter\.)?body\.0\.(resnets\.0\.|body\.0\.)?block1\.weight$/)) return t2iAdapter(weights)
  if (has(/(^|\.)decoder\.(up|up_blocks)\.0\./)) return autoencoder(weights, options.autoencoder)
  throw new SingleFileError(
    place,
    'holds no autoencoder, ControlNet or T2I-Adapter that is known by its keys',
    [...weights.keys()].slice(0, 5),
  )
}

type Rename = (key: string) => string | undefined

/** The keys that `rename` knows, and those that it does not. */
function renamed(weights: Weights, rename: Rename, shape: (key: string, value: Value) => Value = (_, value) => value) {
  const found = new Map<string, Value>()
  const unknown: string[] = []
  for (const [key, value] of weights) {
    const name = rename(key)
    if (name === undefined || found.has(name)) unknown.push(key)
    else found.set(name, shape(name, value))
  }
  return { weights: found, unknown }
}

function autoencoder(all: Weights, given: Readonly<Record<string, unknown>> = {}): ComponentFile {
  const prefix = ['first_stage_model.', 'vae.', ''].find((start) =>
    [...all.keys()].some((key) => key.startsWith(`${start}decoder.`)),
  )
  const own = prefixed(all, prefix ?? '')
  const ours = [...own.keys()].some((key) => key.startsWith('decoder.up_blocks.'))
  const levels = levelsOf(own.keys(), /^decoder\.up\.(\d+)\./)
  const { weights, unknown } = renamed(own, ours ? (key) => key : (key) => vaeKey(key, levels), (name, value) =>
    name.includes('.attentions.') ? flattened(value) : value,
  )
  const losses = /^(loss|model_ema)\./
  return {
    className: 'AutoencoderKL',
    config: { ...vaeConfig(weights, 0.18215, false), ...given },
    weights,
    unknown: unknown.filter((key) => !losses.test(key)),
  }
}

function controlNet(all: Weights, place: string): ComponentFile {
  const inner = prefixed(all, 'control_model.')
  const own = inner.size > 0 ? inner : all
  const ours = own.has('controlnet_cond_embedding.conv_in.weight')
  if (ours) return { className: 'ControlNetModel', config: controlNetConfig(own), weights: own, unknown: [] }
  const layout = { ...layoutOf(own, own.has('label_emb.0.0.weight')), prefix: '' }
  const last = levelsOf(own.keys(), /^input_hint_block\.(\d+)\./) - 1
  const { weights, unknown } = renamed(own, (key) => controlNetKey(key, layout, last))
  if (!weights.has('controlnet_mid_block.weight')) throw new SingleFileError(place, 'is a ControlNet without middle_block_out')
  return { className: 'ControlNetModel', config: controlNetConfig(weights), weights, unknown }
}

function t2iAdapter(all: Weights): ComponentFile {
  const ours = [...all.keys()].some((key) => key.startsWith('adapter.'))
  const light = [...all.keys()].some((key) => /^(adapter\.)?body\.0\.out_conv\./.test(key))
  const { weights, unknown } = renamed(all, ours ? (key) => key : (key) => t2iAdapterKey(key, light))
  return { className: 'T2IAdapter', config: adapterConfig(weights, light), weights, unknown }
}

function adapterConfig(weights: Weights, light: boolean): Record<string, unknown> {
  const rows = (key: string) => weights.get(key)?.shape[0]
  const levels = levelsOf(weights.keys(), /^adapter\.body\.(\d+)\./)
  const blocks = levelsOf(weights.keys(), /^adapter\.body\.0\.resnets\.(\d+)\./)
  const first = weights.get(light ? 'adapter.body.0.in_conv.weight' : 'adapter.conv_in.weight')?.shape[1] as number
  // 8² pixels become channels, in XL's 16²; a picture has 3 channels or 1.
  const factor = first % (3 * 256) === 0 || first === 256 ? 16 : 8
  const channels = Array.from({ length: levels }, (_, i) =>
    rows(`adapter.body.${i}.${light ? 'out_conv' : 'resnets.0.block2'}.weight`),
  )
  return {
    _class_name: 'T2IAdapter',
    adapter_type: light ? 'light_adapter' : factor === 16 ? 'full_adapter_xl' : 'full_adapter',
    in_channels: first / factor ** 2,
    channels,
    num_res_blocks: blocks,
    downscale_factor: factor,
  }
}
