import { type DType, elements, type TypedArray } from '../dtype.ts'
import { ArgumentError } from '../errors.ts'
import type { Lowering, Packing, PackRequest } from '../graph.ts'
import { propagated } from '../ops/blocked/propagation.ts'
import { onnxType } from '../ops/elementwise.ts'
import { gather, slice } from '../ops/move.ts'
import { type Shape, sizeOf } from '../shape.ts'
import { isConstant, isInput, isParameter, type Tensor } from '../tensor.ts'
import { cheapFrom, FAR, MOST_STEPS } from './cheap.ts'
import { Constants } from './constants.ts'
import type { OnnxAttributeProto, OnnxNode, OnnxTensor } from './proto.ts'
import { bytesOfStored, embedded, isHalf, type NamedValue, storedOf } from './stored.ts'
import { type OnnxAttribute, type Quantization, type RawTensor, rawTypes, type StoredValue, type Target } from './types.ts'

/** A value's name, and how many nodes there were when it was made. */
interface Made {
  readonly name: string
  readonly at: number
  /** Cheap operations in a row that end here. */
  readonly steps: number
}

/** A 16-bit weight of at most so many elements is widened once: the memory saved would not be worth a cast at every run. */
const FEW = 2 ** 14

export interface BuilderOptions {
  readonly target: Target
  readonly channelBlock: number
  readonly fusedAttention: boolean
  readonly packs: boolean
  readonly keepHalf: boolean
  readonly quantization: Quantization | undefined
  /** Whether the graph has parameters that change. */
  readonly trains: boolean
  /** Names that its user chose. */
  readonly reserved: ReadonlySet<string | undefined>
}

/** A packed weight of the graph: what is to be packed, and the initializers that its results become. */
export type Pending = PackRequest & { readonly tensors: readonly OnnxTensor[] }

/** An ONNX graph under construction. */
export class Builder implements Lowering {
  readonly target: Target
  readonly channelBlock: number
  readonly fusedAttention: boolean
  readonly quantization: Quantization | undefined
  readonly nodes: OnnxNode[] = []
  /** Casts of 16-bit weights. ONNX Runtime runs nodes that come first in the graph as late as it can: each cast just before its use. */
  readonly casts: OnnxNode[] = []
  readonly initializers: OnnxTensor[] = []
  readonly inputs: Tensor[] = []
  readonly state: Tensor[] = []
  readonly leaves = new Map<string, Tensor>()
  readonly domains = new Set<string>()
  /** Packed weights by key, each packed once. */
  readonly packing = new Map<string, Pending>()
  /** Stored values that are used as they are. */
  readonly direct = new Map<string, { readonly tensor: OnnxTensor; readonly stored: StoredValue }>()
  layoutLeft: boolean
  private readonly options: BuilderOptions
  private readonly weights: ReadonlyMap<string, StoredValue>
  private readonly values = new Map<Tensor, Made>()
  private readonly forms = new Map<Tensor, Map<string, Made>>()
  private readonly constants = new Constants()
  private readonly constancy = new Map<Tensor, boolean>()

  constructor(weights: ReadonlyMap<string, StoredValue>, options: BuilderOptions) {
    this.weights = weights
    this.options = options
    this.target = options.target
    this.channelBlock = options.channelBlock
    this.fusedAttention = options.fusedAttention
    this.quantization = options.quantization
    this.layoutLeft = !options.packs
  }

  emit(type: string, operands: readonly string[], attributes: Record<string, OnnxAttribute> = {}, domain = ''): string {
    return this.emitTo(this.nodes, type, operands, attributes, domain)
  }

  constant(data: TypedArray, dtype: DType, shape: Shape): string {
    return this.constants.intern(data, dtype, shape, (tensor) => this.initialize({ ...tensor, name: this.freshConstant() }))
  }

  ints(list: readonly number[]): string {
    return this.constant(BigInt64Array.from(list, BigInt), 'i64', [list.length])
  }

  scalar(value: number, dtype: DType): string {
    return this.constant(elements([value], dtype), dtype, [])
  }

  value(x: Tensor): string {
    const known = this.values.get(x)
    if (known && !this.isWorthRemaking(known)) return known.name
    const name = isInput(x) || isParameter(x) ? this.leaf(x) : this.lowerNode(x)
    this.values.set(x, { name, at: this.nodes.length, steps: this.stepsTo(x) })
    return name
  }

  /** Lowers a tensor, unless it is already. */
  trace(x: Tensor): void {
    if (!this.values.has(x)) this.value(x)
  }

  cached(x: Tensor, form: string, make: () => string): string {
    const known = this.forms.get(x)?.get(form)
    if (known && !this.isWorthRemaking(known)) return known.name
    const name = make()
    const forms = this.forms.get(x) ?? new Map<string, Made>()
    this.forms.set(x, forms.set(form, { name, at: this.nodes.length, steps: this.stepsTo(x) }))
    return name
  }

  known(x: Tensor, form: string): string | undefined {
    return this.options.trains ? undefined : this.forms.get(x)?.get(form)?.name
  }

  packed(x: Tensor, packing: Packing): readonly string[] | undefined {
    const stored = this.storedOf(x)
    if (!stored || !this.options.packs) return undefined
    // A weight kept in 16 bits is packed only into as many bytes or fewer: otherwise packing would widen all of it.
    if (this.keepsHalf(x, stored) && bytesOfPacked(packing) > bytesOfStored(stored)) return undefined
    const needed = (packing.needs ?? []).map((y) => this.storedOf(y))
    if (needed.includes(undefined)) return undefined
    const key = [`${stored.name}:${packing.form}`, ...needed.map((value) => value?.name)].join(' ')
    const pending = this.packing.get(key) ?? this.request(key, stored, needed as NamedValue[], packing)
    return pending.tensors.map(({ name }) => name)
  }

  private request(key: string, stored: NamedValue, needed: readonly NamedValue[], packing: Packing): Pending {
    const tensors = packing.results.map(({ type, shape }, i) =>
      this.initialize({ name: this.fresh(`${key}_${i}`), dims: [...shape], dataType: rawTypes[type].onnx }),
    )
    const pending = { stored, needed, packing, tensors }
    this.packing.set(key, pending)
    return pending
  }

  storedName(x: Tensor): string | undefined {
    return this.storedOf(x)?.name
  }

  raw({ type, shape, data }: RawTensor): string {
    return this.initialize({ name: this.freshConstant(), dims: [...shape], dataType: rawTypes[type].onnx, ...embedded(data) })
      .name
  }

  leaveLayout(): void {
    this.layoutLeft = true
  }

  canPack(x: Tensor): boolean {
    return !this.isConstant(x) || (this.options.packs && this.storedOf(x) !== undefined)
  }

  isConstant(x: Tensor): boolean {
    const known = this.constancy.get(x)
    if (known !== undefined) return known
    const fixed = this.isFixed(x)
    this.constancy.set(x, fixed)
    return fixed
  }

  /** A name for a value within the graph, other than those that its user chose. */
  fresh(name: string): string {
    return this.options.reserved.has(name) ? this.fresh(`${name}'`) : name
  }

  private isFixed(x: Tensor): boolean {
    if (isInput(x)) return false
    const stored = this.storedOf(x)
    if (stored && this.keepsHalf(x, stored)) return false
    return isParameter(x) ? stored !== undefined : x.inputs.every((y) => this.isConstant(y))
  }

  /** Whether a weight stays in 16 bits, to be cast at every run. */
  private keepsHalf(x: Tensor, stored: StoredValue): boolean {
    return this.options.keepHalf && isHalf(stored.dtype) && x.dtype === 'f32' && sizeOf(stored.shape) > FEW
  }

  private storedOf(x: Tensor): NamedValue | undefined {
    return storedOf(x, this.weights)
  }

  private emitTo(
    nodes: OnnxNode[],
    type: string,
    operands: readonly string[],
    attributes: Record<string, OnnxAttribute>,
    domain = '',
  ): string {
    const name = this.fresh(`${type}_${this.nodes.length + this.casts.length}`)
    if (domain) this.domains.add(domain)
    const attribute = Object.entries(attributes).map(attributeOf)
    nodes.push({ input: [...operands], output: [name], name, opType: type, domain, attribute })
    return name
  }

  private initialize(tensor: OnnxTensor): OnnxTensor {
    this.initializers.push(tensor)
    return tensor
  }

  private freshConstant(): string {
    return this.fresh(`constant_${this.initializers.length}`)
  }

  /** Training calculates a cheap value again for the backward pass: kept, it would take memory until then. */
  private isWorthRemaking({ at, steps }: Made): boolean {
    return this.options.trains && steps > 0 && this.nodes.length - at > FAR
  }

  private stepsTo(x: Tensor): number {
    const from = cheapFrom(x)
    return from ? ((this.values.get(from)?.steps ?? 0) + 1) % (MOST_STEPS + 1) : 0
  }

  private lowerNode(x: Tensor): string {
    const part = x.op === slice ? this.storedOf(x) : undefined
    if (part) return this.stored({ ...part, name: this.fresh(part.name) }, x)
    const rows = x.op === gather ? this.halfRows(x) : undefined
    if (rows) return rows
    const operands = isConstant(x) ? [] : x.inputs.map((y) => this.value(y))
    const { lower } = x.op
    const onBlockedChannels = propagated(this, x)
    if (onBlockedChannels) return onBlockedChannels
    return typeof lower === 'string' ? this.emit(lower, operands) : lower(this, operands, x)
  }

  /** Rows of a table that is kept in 16 bits: only the rows are cast. */
  private halfRows(x: Tensor): string | undefined {
    const [table, index] = x.inputs as [Tensor, Tensor]
    const stored = this.storedOf(table)
    if (!stored || !this.keepsHalf(table, stored)) return undefined
    const rows = this.emit('Gather', [this.asStored(stored), this.value(index)], { axis: x.attrs.axis })
    return this.emit('Cast', [rows], { to: onnxType[x.dtype] })
  }

  private leaf(x: Tensor): string {
    const name = x.name as string
    const other = this.leaves.get(name)
    if (other && other !== x) throw new ArgumentError(`two tensors of the graph are named "${name}"; give each its own name`)
    this.leaves.set(name, x)
    const stored = this.storedOf(x)
    if (stored) return this.stored(stored, x)
    ;(isParameter(x) ? this.state : this.inputs).push(x)
    return name
  }

  /** A stored value in the type that the graph takes. */
  private stored(stored: NamedValue, x: Tensor): string {
    if (stored.dtype === x.dtype) return this.asStored(stored)
    const to = { to: onnxType[x.dtype] }
    if (this.keepsHalf(x, stored)) return this.emitTo(this.casts, 'Cast', [this.asStored(stored)], to)
    const widened = isHalf(stored.dtype) && x.dtype === 'f32' ? this.packed(x, widening(stored.shape)) : undefined
    return widened?.[0] ?? this.emit('Cast', [this.asStored(stored)], to)
  }

  private asStored({ name, ...stored }: NamedValue): string {
    if (this.direct.has(name)) return name
    const tensor = this.initialize({ name, dims: [...stored.shape], dataType: onnxType[stored.dtype] })
    this.direct.set(name, { tensor, stored })
    return name
  }
}

const bytesOfPacked = ({ results }: Packing): number =>
  results.reduce((sum, { type, shape }) => sum + sizeOf(shape) * rawTypes[type].array.BYTES_PER_ELEMENT, 0)

const widening = (shape: Shape): Packing => ({
  form: 'f32',
  results: [{ type: 'f32', shape }],
  fill: (values, [out]) => (out as Float32Array).set(values),
})

function attributeOf([name, value]: [string, OnnxAttribute]): OnnxAttributeProto {
  if (typeof value === 'number') return { name, type: 2, i: value }
  if (typeof value === 'string') return { name, type: 3, s: new TextEncoder().encode(value) }
  if ('float' in value) return { name, type: 1, f: value.float }
  return { name, type: 7, ints: [...value] }
}
