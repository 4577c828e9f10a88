import { LangevinError } from '../core/errors.ts'
import { sizeOf } from '../core/shape.ts'
import { parameter, type Tensor } from '../core/tensor.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { evaluate } from '../runtime/program.ts'
import { basename, dirname, existsSync, join } from '../runtime/system.ts'
import type { Weights } from '../runtime/weights.ts'
import { listing } from './errors.ts'
import { readJson } from './json.ts'
import { applied, deltaOf, rotations, scaleOf, type Value } from './lora-deltas.ts'
import { adapterConfig, isBundled, moduleNames, partOf } from './lora-keys.ts'
import { readTensor } from './safetensors.ts'
import { type Sd3Module, sd3Modules, swapped } from './sd3-keys.ts'
import { third } from './single-file-values.ts'
import { openWeightFile } from './weight-file.ts'

/** An adapter: its tensors as its file names them. */
export interface Lora {
  /** What errors call it. */
  readonly place: string
  readonly tensors: Weights
  readonly metadata?: Readonly<Record<string, string>>
}

/** An adapter that does not fit the networks: every fault at once. */
export class LoraError extends LangevinError {
  readonly place: string
  /** Keys, as the file spells them, that no network has a place for. */
  readonly unmatched: readonly string[]
  readonly faults: readonly string[]

  constructor(place: string, { unmatched, faults }: Pick<LoraError, 'unmatched' | 'faults'>) {
    super(
      [
        `${place}: the LoRA does not fit the model: ${unmatched.length} keys without a place, ${faults.length} faults`,
        ...listing('keys without a place', unmatched),
        ...listing('faults', faults),
        'Check that it was trained for this model (Stable Diffusion 1, 2 and XL differ), and that all its networks are given.',
      ].join('\n'),
    )
    this.place = place
    this.unmatched = unmatched
    this.faults = faults
  }
}

/**
 * Opens an adapter's file, safetensors or PyTorch's, and copies nothing. PEFT's own files have their alpha in `adapter_config.json`
 * beside them.
 *
 * @throws what `openWeightFile` does, ConfigError for a damaged `adapter_config.json`
 */
export function openLora(file: string): Lora {
  const opened = { place: file, ...openWeightFile(file) }
  const beside = join(dirname(file), adapterConfig)
  if (!/^adapter_model\./.test(basename(file)) || !existsSync(beside)) return opened
  return { ...opened, metadata: { ...opened.metadata, [adapterConfig]: JSON.stringify(readJson(beside)) } }
}

/** How strongly an adapter acts: one factor, or one a network (`unet`, `text_encoder`, …), 1 where none is given. */
export type LoraWeight = number | Readonly<Record<string, number>>

/** The tensors of an adapter that change one tensor of a network. */
interface Change {
  readonly parts: Map<string, Value>
  /** Their keys in the file. */
  readonly keys: string[]
  /** For a bias: the weight's key, whose alpha and rank scale it. */
  readonly beside?: string
}

export interface MergeOptions {
  /** Called once for an adapter with keys that have no place: what was left of it. By default `console.warn`. */
  readonly warn?: (message: string) => void
}

/**
 * The networks with adapters merged in: W + Σ weight · ΔW, in f32. Only the tensors that an adapter changes are made anew; all others are
 * the given ones. To unload, use the given networks again.
 *
 * LoRA (Hu et al. 2022) of linear and convolution layers, with Tucker's core too; LoHa and LoKr (Yeh et al. 2024); DoRA, OFT, BOFT and
 * GLoRA; differences of weights, norms and biases. Keys as diffusers, PEFT, kohya's scripts and LyCORIS write them. Several act one
 * after another. Keys without a place are left, and `warn` is told; embeddings that lie in the file are the text encoders' part.
 *
 * @param networks by component: `unet`, `transformer`, `text_encoder`, `text_encoder_2`
 * @throws LoraError where nothing of an adapter has a place, and with every shape that does not fit
 */
export async function mergeLoras(
  networks: ReadonlyMap<string, Weights>,
  loras: readonly { readonly lora: Lora; readonly weight: LoraWeight }[],
  { warn = console.warn }: MergeOptions = {},
): Promise<Map<string, Weights>> {
  const merged = new Map<string, Weights>(networks)
  const names = moduleNames(networks)
  const all = loras.map(({ lora, weight }) => ({ lora, weight, changes: changesOf(lora, networks, names, warn) }))
  for (const [component, weights] of networks) {
    const touched = [...weights.keys()].filter((key) => all.some(({ changes }) => changes.get(component)?.has(key)))
    const made = new Map<string, NdArray>()
    for (const keys of groups(touched, weights)) {
      const outputs: Record<string, Tensor> = {}
      const values = new Map<string, Value>()
      for (const key of keys) {
        const base = weights.get(key) as Value
        let merged: Tensor | undefined
        for (const [i, { lora, weight, changes }] of all.entries()) {
          const factor = typeof weight === 'number' ? weight : (weight[component] ?? 1)
          const own = changes.get(component)
          const change = own?.get(key)
          if (!change || factor === 0) continue
          const symbols = new Map(
            [...change.parts].map(([part, value]) => {
              const name = `${i} ${part} ${key}`
              values.set(name, value)
              return [part, parameter(name, value.shape)] as const
            }),
          )
          const ranked = change.beside === undefined ? change : (own?.get(change.beside) ?? change)
          const scale = scaleOf(lora.metadata, component, change.beside ?? key, ranked.parts)
          merged = applied(merged ?? parameter(key, base.shape), symbols, { factor, scale })
        }
        if (!merged) continue
        values.set(key, base)
        outputs[`merged ${key}`] = merged
      }
      if (Object.keys(outputs).length === 0) continue
      const found = await evaluate({ outputs, weights: values })
      for (const [name, value] of Object.entries(found)) made.set(name.slice('merged '.length), value)
    }
    if (made.size > 0) merged.set(component, new Map([...weights].map(([key, value]) => [key, made.get(key) ?? value])))
  }
  return merged
}

/** Elements that are merged at once, so that ONNX Runtime's copies of them stay small beside the network. */
const most = 2 ** 24

/** Keys in their order, in runs of at most so many elements, or of one tensor. */
function groups(keys: readonly string[], weights: Weights): string[][] {
  const out: string[][] = []
  let size = Infinity
  for (const key of keys) {
    const own = sizeOf((weights.get(key) as Value).shape)
    if (size + own > most) {
      out.push([])
      size = 0
    }
    out.at(-1)?.push(key)
    size += own
  }
  return out
}

/** An adapter's changes by network and key. */
function changesOf(
  lora: Lora,
  networks: ReadonlyMap<string, Weights>,
  names: ReadonlyMap<string, readonly [string, string]>,
  warn: (message: string) => void,
) {
  const changes = new Map<string, Map<string, Change>>()
  const unmatched: string[] = []
  for (const [key, module, part, value] of modulesOf(lora, networks)) {
    const place = module === undefined ? undefined : names.get(module)
    if (!place || part === undefined) {
      unmatched.push(key)
      continue
    }
    const [component, name] = place
    const ofBias = part === 'diff_b' || part === 'up_bias'
    const target = ofBias ? name.replace(/weight$/, 'bias') : name
    const own = changes.get(component) ?? new Map<string, Change>()
    const change: Change = own.get(target) ?? { parts: new Map(), keys: [], ...(part === 'up_bias' && { beside: name }) }
    if (change.parts.has(part) || !networks.get(component)?.has(target)) {
      unmatched.push(key)
      continue
    }
    change.parts.set(part === 'up_bias' ? 'diff_b' : part, value)
    change.keys.push(key)
    changes.set(component, own.set(target, change))
  }
  const faults: string[] = []
  let count = 0
  for (const [component, own] of changes) {
    for (const [key, { parts, keys }] of own) {
      // Of rank 0 nothing comes.
      if ([...parts.values()].some(({ shape }) => shape.includes(0))) own.delete(key)
      const base = networks.get(component)?.get(key)
      const fault = base && own.has(key) && faultOf(parts, base.shape)
      if (fault) faults.push(`${component}: ${key}: ${fault} (${keys[0]})`)
      count++
    }
  }
  const bundled = [...lora.tensors.keys()].some(isBundled)
  if (faults.length > 0 || (count === 0 && !bundled)) throw new LoraError(lora.place, { unmatched, faults })
  if (unmatched.length > 0) {
    const some = `${unmatched.slice(0, 5).join(', ')}${unmatched.length > 5 ? ` and ${unmatched.length - 5} more` : ''}`
    warn(`${lora.place}: ${unmatched.length} of ${lora.tensors.size} keys have no place in the model and were left: ${some}`)
  }
  return changes
}

/**
 * An adapter's tensors with the module and the part that each is. One of a module that is three in the network (q, k and v of the
 * original Stable Diffusion 3) comes three times, with its own rows.
 */
function* modulesOf(
  lora: Lora,
  networks: ReadonlyMap<string, Weights>,
): Generator<readonly [key: string, module: string | undefined, part: string | undefined, value: Value]> {
  const originals: ReadonlyMap<string, Sd3Module> = new Map(
    [...sd3Modules(networks.get('transformer') ?? new Map())].map(
      ([name, own]) => [`lora_unet_${name.replaceAll('.', '_')}`, own] as const,
    ),
  )
  for (const [key, value] of lora.tensors) {
    if (isBundled(key)) continue
    const { module, part } = partOf(key) ?? {}
    const original = module === undefined ? undefined : originals.get(module)
    if (!original || part === undefined) yield [key, module, part, value]
    else {
      const { keys, swapped: turned } = original
      const rows = part === 'up' || part === 'diff'
      const plain = keys.length === 1 && !turned
      const known = plain || rows || part === 'down' || part === 'alpha'
      for (const [i, name] of keys.entries()) {
        const own = !rows ? value : turned ? swapped(value) : keys.length > 1 ? third(value, i) : value
        yield [key, known ? `transformer.${name.slice(0, -'.weight'.length)}` : undefined, part, own]
      }
    }
  }
}

/** Why the parts of a change do not make one of the tensor's size. Blocks of a rotation become rotations here. */
function faultOf(parts: Map<string, Value>, shape: readonly number[]): string | undefined {
  try {
    const blocks = parts.get('oft')
    if (blocks) {
      const alpha = parts.get('alpha')
      const constraint = alpha ? Number(readTensor(alpha).cast('f32').data[0]) * (shape[0] as number) : 0
      const rotation = rotations(readTensor(blocks), constraint)
      const [, count, size] = rotation.shape as [number, number, number]
      if (count * size !== shape[0]) return `expected ${shape[0]} rows, the adapter rotates ${count} blocks of ${size}`
      parts.delete('oft')
      parts.set('rotation', rotation)
    }
    if (
      ['dora', 'magnitude'].some((part) => parts.has(part)) &&
      !parts.has('down') &&
      ![...parts.keys()].some((part) => /^(hada|lokr)/.test(part))
    )
      return 'has the magnitude of a DoRA without its low-rank part'
    const symbols = new Map([...parts].map(([part, value]) => [part, parameter(part, value.shape)]))
    if (!parts.has('rotation') && !parts.has('glora a1')) {
      const { size, shape: delta } = deltaOf(symbols)
      const wanted = sizeOf(shape)
      if (size !== wanted || delta[0] !== shape[0])
        return `expected [${shape.join(', ')}], the adapter gives [${delta.join(', ')}]`
    }
    const { shape: got } = applied(parameter('base', shape), symbols, { factor: 1, scale: 1 })
    const same = got.length === shape.length && got.every((axis, i) => axis === shape[i])
    return same ? undefined : `expected [${shape.join(', ')}], the adapter gives [${got.join(', ')}]`
  } catch (error) {
    return (error as Error).message
  }
}
