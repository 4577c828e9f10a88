import { LangevinError } from '../core/errors.ts'
import { parameter, type Tensor } from '../core/tensor.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { evaluate } from '../runtime/program.ts'
import type { FileTensor, Weights } from '../runtime/weights.ts'
import { listing } from './errors.ts'
import { moduleNames, partOf } from './lora-keys.ts'
import { openSafetensors, readTensor } from './safetensors.ts'

type Value = NdArray | FileTensor

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

/** Opens an adapter's file and copies nothing. @throws what `openSafetensors` does, so that pickles are refused */
export const openLora = (file: string): Lora => ({ place: file, ...openSafetensors(file) })

/** How strongly an adapter acts: one factor, or one a network (`unet`, `text_encoder`, …), 1 where none is given. */
export type LoraWeight = number | Readonly<Record<string, number>>

/** The tensors of an adapter that change one tensor of a network. */
interface Change {
  readonly parts: Map<string, Value>
  /** Their keys in the file. */
  readonly keys: string[]
}

/**
 * The networks with adapters merged in: W + Σ weight · ΔW, in f32. Only the tensors that an adapter changes are made anew; all others are
 * the given ones. To unload, use the given networks again.
 *
 * LoRA (Hu et al. 2022) of linear and convolution layers, with Tucker's core too; LoHa and LoKr (Yeh et al. 2024); whole
 * differences. Keys as diffusers, PEFT, kohya's scripts and LyCORIS write them.
 *
 * @param networks by component: `unet`, `text_encoder`, `text_encoder_2`
 * @throws LoraError with every key that has no place and every shape that does not fit
 */
export async function mergeLoras(
  networks: ReadonlyMap<string, Weights>,
  loras: readonly { readonly lora: Lora; readonly weight: LoraWeight }[],
): Promise<Map<string, Weights>> {
  const merged = new Map<string, Weights>(networks)
  const names = moduleNames(networks)
  const all = loras.map(({ lora, weight }) => ({ lora, weight, changes: changesOf(lora, networks, names) }))
  for (const [component, weights] of networks) {
    const touched = [...weights.keys()].filter((key) => all.some(({ changes }) => changes.get(component)?.has(key)))
    const made = new Map<string, NdArray>()
    for (const keys of groups(touched, weights)) {
      const outputs: Record<string, Tensor> = {}
      const values = new Map<string, Value>()
      for (const key of keys) {
        const base = weights.get(key) as Value
        const deltas = all.flatMap(({ lora, weight, changes }, i) => {
          const factor = typeof weight === 'number' ? weight : (weight[component] ?? 1)
          const parts = changes.get(component)?.get(key)?.parts
          if (!parts || factor === 0) return []
          const symbols = new Map(
            [...parts].map(([part, value]) => {
              const name = `${i} ${part} ${key}`
              values.set(name, value)
              return [part, parameter(name, value.shape)]
            }),
          )
          return deltaOf(symbols)
            .reshape(base.shape)
            .mul(factor * scaleOf(lora, component, key, parts))
        })
        if (deltas.length === 0) continue
        values.set(key, base)
        outputs[`merged ${key}`] = deltas.reduce((sum, delta) => sum.add(delta), parameter(key, base.shape))
      }
      if (Object.keys(outputs).length === 0) continue
      const found = await evaluate({ outputs, weights: values })
      for (const [name, value] of Object.entries(found)) made.set(name.slice('merged '.length), value)
    }
    if (made.size > 0) merged.set(component, new Map([...weights].map(([key, value]) => [key, made.get(key) ?? value])))
  }
  return merged
}

/** Elements that are merged at once, so that the engine's copies of them stay small beside the network. */
const most = 2 ** 24

/** Keys in their order, in runs of at most so many elements, or of one tensor. */
function groups(keys: readonly string[], weights: Weights): string[][] {
  const out: string[][] = []
  let size = Infinity
  for (const key of keys) {
    const own = (weights.get(key) as Value).shape.reduce((a, b) => a * b, 1)
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
function changesOf(lora: Lora, networks: ReadonlyMap<string, Weights>, names: ReadonlyMap<string, readonly [string, string]>) {
  const changes = new Map<string, Map<string, Change>>()
  const unmatched: string[] = []
  for (const [key, value] of lora.tensors) {
    const { module, part } = partOf(key) ?? {}
    const place = module === undefined ? undefined : names.get(module)
    if (!place || part === undefined) {
      unmatched.push(key)
      continue
    }
    const [component, name] = place
    const target = part === 'diff_b' ? name.replace(/weight$/, 'bias') : name
    const own = changes.get(component) ?? new Map<string, Change>()
    const change: Change = own.get(target) ?? { parts: new Map(), keys: [] }
    if (change.parts.has(part) || !networks.get(component)?.has(target)) unmatched.push(key)
    change.parts.set(part, value)
    change.keys.push(key)
    changes.set(component, own.set(target, change))
  }
  const faults = [...changes].flatMap(([component, own]) =>
    [...own].flatMap(([key, { parts, keys }]) => {
      const base = networks.get(component)?.get(key)
      if (!base) return []
      const fault = faultOf(parts, base.shape)
      return fault ? [`${component}: ${key}: ${fault} (${keys[0]})`] : []
    }),
  )
  if (unmatched.length > 0 || faults.length > 0) throw new LoraError(lora.place, { unmatched, faults })
  return changes
}

/** Why the parts of a change do not make one of the tensor's size. */
function faultOf(parts: ReadonlyMap<string, Value>, shape: readonly number[]): string | undefined {
  if (parts.has('dora')) return 'a weight-decomposed LoRA (DoRA) is not supported: merge it in the program that made it'
  const symbols = new Map([...parts].map(([part, value]) => [part, parameter(part, value.shape)]))
  try {
    const { size, shape: got } = deltaOf(symbols)
    const wanted = shape.reduce((a, b) => a * b, 1)
    if (size === wanted && got[0] === shape[0]) return undefined
    return `expected [${shape.join(', ')}], the adapter gives [${got.join(', ')}]`
  } catch (error) {
    return (error as Error).message
  }
}

/** What the parts of a change make, before its scale: [out, in] or [out, in, …kernel]. */
function deltaOf(parts: ReadonlyMap<string, Tensor>): Tensor {
  const part = (name: string): Tensor => {
    const found = parts.get(name)
    if (!found) throw new LangevinError(`lacks ${name}`)
    return found
  }
  const whole = parts.get('diff') ?? parts.get('diff_b')
  if (whole) return whole
  if (parts.has('hada w1_a')) return hadamard(parts, part)
  if (parts.has('lokr w1') || parts.has('lokr w1_a')) return kronecker(parts, part)
  const [up, down, mid] = [part('up'), part('down'), parts.get('mid')]
  if (mid) return tucker(mid, matrix(up).transpose(), matrix(down))
  return product(matrix(up), down)
}

/** All axes but the first as one. */
const matrix = (x: Tensor): Tensor => x.reshape([x.shape[0] as number, -1])

/** [out, r] · [r, in, …] → [out, in, …]. */
const product = (a: Tensor, b: Tensor): Tensor => a.matmul(matrix(b)).reshape([a.shape[0] as number, ...b.shape.slice(1)])

/** Σ_ij t[i, j, …] a[i, o] b[j, n] → [o, n, …]. */
function tucker(t: Tensor, a: Tensor, b: Tensor): Tensor {
  const [, j, ...kernel] = t.shape as [number, number, ...number[]]
  const [o, n] = [a.shape[1] as number, b.shape[1] as number]
  const inner = t.transpose(0, ...kernel.map((_, i) => i + 2), 1).reshape([-1, j])
  const rows = a.matmul(inner.matmul(b).reshape([a.shape[0] as number, -1]), { transA: true })
  return rows.reshape([o, ...kernel, n]).transpose(0, kernel.length + 1, ...kernel.map((_, i) => i + 1))
}

type Part = (name: string) => Tensor

/** LoHa: the elementwise product of two low-rank matrices (Hyeon-Woo et al. 2022). */
function hadamard(parts: ReadonlyMap<string, Tensor>, part: Part): Tensor {
  const half = (i: 1 | 2) => {
    const [a, b, t] = [part(`hada w${i}_a`), part(`hada w${i}_b`), parts.get(`hada t${i}`)]
    return t ? tucker(t, a, b) : product(a, b)
  }
  return half(1).mul(half(2))
}

/** LoKr: the Kronecker product of two matrices, either of which may be of low rank (Yeh et al. 2024, section 3.3). */
function kronecker(parts: ReadonlyMap<string, Tensor>, part: Part): Tensor {
  const side = (i: 1 | 2) => {
    const whole = parts.get(`lokr w${i}`)
    if (whole) return whole
    const [a, b, t] = [part(`lokr w${i}_a`), part(`lokr w${i}_b`), parts.get(`lokr t${i}`)]
    return t ? tucker(t, a, b) : product(a, b)
  }
  const [left, right] = [side(1), side(2)]
  const [a, b] = left.shape as [number, number]
  const [c, d, ...kernel] = right.shape as [number, number, ...number[]]
  return left
    .reshape([a, 1, b, 1, ...kernel.map(() => 1)])
    .mul(right.reshape([1, c, 1, d, ...kernel]))
    .reshape([a * c, b * d, ...kernel])
}

/** alpha / rank. Without an alpha it is 1, unless the file's metadata tell it (diffusers' `lora_adapter_metadata`). */
function scaleOf(lora: Lora, component: string, key: string, parts: ReadonlyMap<string, Value>): number {
  const rank = rankOf(parts)
  if (rank === undefined) return 1
  const alpha = parts.get('alpha')
  if (alpha) return Number(('file' in alpha ? readTensor(alpha) : alpha).cast('f32').data[0]) / rank
  const told = lora.metadata?.lora_adapter_metadata
  if (told === undefined) return 1
  const fields: Record<string, unknown> = JSON.parse(told)
  const patterns = (fields[`${component}.alpha_pattern`] ?? {}) as Record<string, number>
  const module = key.replace(/\.(weight|bias)$/, '')
  const own = Object.entries(patterns).find(([name]) => module === name || module.endsWith(`.${name}`))
  const value = own?.[1] ?? fields[`${component}.lora_alpha`]
  if (typeof value !== 'number') return 1
  return value / (fields[`${component}.use_rslora`] === true ? Math.sqrt(rank) : rank)
}

/** The rank that alpha is over; none for whole differences and for a LoKr without a low-rank side. */
function rankOf(parts: ReadonlyMap<string, Value>): number | undefined {
  const inner = ['down', 'hada w1_b', 'lokr w2_b', 'lokr w1_b'].find((part) => parts.has(part))
  return inner === undefined ? undefined : parts.get(inner)?.shape[0]
}
