import { bytesPer, type DType, elements, type TypedArray } from '../dtype.ts'
import { ArgumentError } from '../errors.ts'
import { topologicalOrder } from '../grad.ts'
import { propagated } from '../ops/blocked/propagation.ts'
import { onnxType } from '../ops/elementwise.ts'
import { type SliceAttrs, slice } from '../ops/move.ts'
import { type Arrangement, type Lowering, type OnnxAttribute, type RawTensor, rawTypes, type Target } from '../ops/op.ts'
import type { Quantization } from '../ops/quantized.ts'
import { type Shape, sameShape, showShape, sizeOf } from '../shape.ts'
import { isConstant, isInput, isParameter, type Tensor } from '../tensor.ts'
import type { OnnxAttributeProto, OnnxModel, OnnxNode, OnnxTensor, OnnxValue } from './proto.ts'

/** A parameter's stored value: in memory, or in a file at a byte offset. */
export type StoredValue = { readonly dtype: DType; readonly shape: Shape } & (
  | { readonly data: TypedArray }
  | { readonly file: string; readonly offset: number }
)

/** A constant of the graph: in memory, or in a file at a byte offset. */
export type RawValue =
  | RawTensor
  | (Omit<RawTensor, 'data'> & { readonly file: string; readonly offset: number; readonly length: number })

/** Who has the stored parameters' values. */
export interface Preparer {
  /** A value as f32, for now. */
  read(stored: StoredValue): Float32Array
  /** Where other arrangements of a value will be, in memory or in a file. */
  arrange(stored: StoredValue, arrangement: Arrangement): readonly RawValue[]
}

/** What is lowered: named inputs and outputs, and the parameters' values. */
export interface Graph {
  readonly outputs: Readonly<Record<string, Tensor>>
  /** Values of parameters. A parameter without a value becomes an input of the graph, under its own name: state. */
  readonly weights?: ReadonlyMap<string, StoredValue>
}

export interface LowerOptions {
  readonly target: Target
  readonly channelBlock?: number
  /** Whether the engine's attention kernel may be used: some GPUs get it wrong. */
  readonly fusedAttention?: boolean
  /** How a weight that lies in a file is named in the graph: its location and offset. */
  readonly locate?: (file: string) => string
  /** Without it fixed parameters are used as they are stored. */
  readonly preparer?: Preparer
  readonly quantization?: Quantization | undefined
}

/** A graph in ONNX, and what it takes and gives. */
export interface Lowered {
  readonly model: OnnxModel
  readonly inputs: readonly Tensor[]
  /** Parameters that are inputs of the graph. */
  readonly state: readonly Tensor[]
  /** Whether the engine should choose layouts; else every weight lies as it should. */
  readonly layoutLeft: boolean
  /** Whether large values are calculated from constants alone, such as weights stored in another type: once is enough for those. */
  readonly foldable: boolean
}

/**
 * From opset 22 on, ConvTranspose, MaxPool, Sin and Cos are new versions that WebGPU's provider lacks (ONNX Runtime 1.30):
 * they would run on the CPU. IR version 10 is opset 21's.
 */
const OPSET = 21
const IR_VERSION = 10
const DOMAINS = ['com.microsoft', 'com.microsoft.nchwc']

/** A value's name, and how many nodes there were when it was made. */
interface Made {
  readonly name: string
  readonly at: number
  /** Cheap operations in a row that end here. */
  readonly steps: number
}

/** Nodes between two uses of a value that are then taken to be in different passes. */
const FAR = 400
const CHEAP = new Set(['add', 'sub', 'mul', 'div', 'reshape', 'sigmoid', 'gate', 'silu', 'gelu', 'groupNorm'])
/** As many as group norm and an activation need; where longer rows of cheap operations are made again, one value is kept. */
const MOST_STEPS = 4
/** The one input of its size that a tensor is made from fast, the others being small. */
function cheapFrom(x: Tensor): Tensor | undefined {
  const [from, ...others] = CHEAP.has(x.op.name) ? x.inputs.filter((y) => y.size * 8 > x.size) : []
  return others.length === 0 ? from : undefined
}

/** Symbolic tensors → an ONNX model. Only what the outputs depend on is lowered, each tensor once. */
export function lower(
  { outputs, weights = new Map() }: Graph,
  {
    target,
    channelBlock = 0,
    fusedAttention = target !== 'portable',
    locate = (file) => file,
    preparer,
    quantization,
  }: LowerOptions,
): Lowered {
  const node: OnnxModel['graph']['node'] = []
  const initializer: OnnxTensor[] = []
  const values = new Map<Tensor, Made>()
  const forms = new Map<Tensor, Map<string, Made>>()
  const constants = new Map<string, OnnxTensor[]>()
  const arranged = new Map<string, readonly string[]>()
  const constancy = new Map<Tensor, boolean>()
  const inputs: Tensor[] = []
  const state: Tensor[] = []
  const leaves = new Map<string, Tensor>()
  const domains = new Set<string>()
  let layoutLeft = preparer === undefined
  const order = topologicalOrder(Object.values(outputs))
  const reserved = new Set([...Object.keys(outputs), ...order.map((x) => x.name)])
  /** A name for a value within the graph, other than those that its user chose. */
  const fresh = (name: string): string => (reserved.has(name) ? fresh(`${name}'`) : name)
  if (order.length === 0) throw new ArgumentError('a graph needs an output')
  const trains = target === 'cpu' && order.some((x) => isParameter(x) && !weights.has(x.name as string))

  const builder: Lowering = {
    target,
    channelBlock,
    fusedAttention,
    emit(type, operands, attributes = {}, domain = '') {
      const name = fresh(`${type}_${node.length}`)
      if (domain) domains.add(domain)
      node.push({
        input: [...operands],
        output: [name],
        name,
        opType: type,
        domain,
        attribute: Object.entries(attributes).map(attributeOf),
      })
      return name
    },
    constant(data, dtype, shape) {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      const alike = `${dtype}${showShape(shape)}${hash(bytes)}`
      const known = constants.get(alike)?.find((tensor) => equalBytes(tensor.rawData as Uint8Array, bytes))
      if (known) return known.name
      const tensor = {
        name: fresh(`constant_${initializer.length}`),
        dims: [...shape],
        dataType: onnxType[dtype],
        rawData: bytes,
      }
      initializer.push(tensor)
      constants.set(alike, [...(constants.get(alike) ?? []), tensor])
      return tensor.name
    },
    ints: (list) => builder.constant(BigInt64Array.from(list, BigInt), 'i64', [list.length]),
    scalar: (value, dtype) => builder.constant(elements([value], dtype), dtype, []),
    value(x) {
      const known = values.get(x)
      if (known && !isWorthRemaking(known)) return known.name
      const name = isInput(x) || isParameter(x) ? leaf(x) : lowerNode(x)
      values.set(x, { name, at: node.length, steps: stepsTo(x) })
      return name
    },
    cached(x, form, make) {
      const known = forms.get(x)?.get(form)
      if (known && !isWorthRemaking(known)) return known.name
      const name = make()
      if (!forms.has(x)) forms.set(x, new Map())
      forms.get(x)?.set(form, { name, at: node.length, steps: stepsTo(x) })
      return name
    },
    known: (x, form) => (trains ? undefined : forms.get(x)?.get(form)?.name),
    prepared(x, form, arrangement) {
      const stored = storedOf(x)
      if (!stored || !preparer) return undefined
      const key = `${stored.name}:${form}`
      let names = arranged.get(key)
      if (!names) {
        names = preparer.arrange(stored, arrangement).map((value, i) => {
          const name = fresh(`${key}_${i}`)
          initializer.push({ name, dims: [...value.shape], dataType: rawTypes[value.type].onnx, ...contents(value, locate) })
          return name
        })
        arranged.set(key, names)
      }
      return names
    },
    quantization,
    storedName: (x) => storedOf(x)?.name,
    storedValues(x) {
      const stored = storedOf(x)
      return stored && preparer?.read(stored)
    },
    raw({ type, shape, data }) {
      const name = fresh(`constant_${initializer.length}`)
      initializer.push({ name, dims: [...shape], dataType: rawTypes[type].onnx, ...contents({ data }, locate) })
      return name
    },
    leaveLayout() {
      layoutLeft = true
    },
    isArrangeable: (x) => !builder.isConstant(x) || (preparer !== undefined && storedOf(x) !== undefined),
    isConstant(x) {
      const known = constancy.get(x)
      if (known !== undefined) return known
      const fixed = isInput(x)
        ? false
        : isParameter(x)
          ? weights.has(x.name as string)
          : x.inputs.every((y) => builder.isConstant(y))
      constancy.set(x, fixed)
      return fixed
    },
  }

  /** In training a value that costs little is made again for the backward pass: kept, it would fill memory until then. */
  const isWorthRemaking = ({ at, steps }: Made) => trains && steps > 0 && node.length - at > FAR

  function stepsTo(x: Tensor): number {
    const from = cheapFrom(x)
    return from ? ((values.get(from)?.steps ?? 0) + 1) % (MOST_STEPS + 1) : 0
  }

  /** The value of a parameter, or of a part of its rows, where it is stored. */
  function storedOf(x: Tensor): (StoredValue & { readonly name: string }) | undefined {
    if (x.op === slice) {
      const { axis, start, end, step } = x.attrs as SliceAttrs
      const whole = axis === 0 && step === 1 ? storedOf(x.inputs[0] as Tensor) : undefined
      return whole && { ...rowsOf(whole, start, end), name: `${whole.name}[${start}:${end}]` }
    }
    const stored = isParameter(x) ? weights.get(x.name as string) : undefined
    if (stored) checkStoredShape(x, stored)
    return stored && { ...stored, name: x.name as string }
  }

  function initialize({ name, ...stored }: StoredValue & { readonly name: string }, dtype: DType): string {
    const length = sizeOf(stored.shape) * bytesPer[stored.dtype]
    initializer.push({
      name,
      dims: [...stored.shape],
      dataType: onnxType[stored.dtype],
      ...contents({ length, ...stored }, locate),
    })
    return stored.dtype === dtype ? name : builder.emit('Cast', [name], { to: onnxType[dtype] })
  }

  function lowerNode(x: Tensor): string {
    const part = x.op === slice ? storedOf(x) : undefined
    if (part) return initialize({ ...part, name: fresh(part.name) }, x.dtype)
    const operands = isConstant(x) ? [] : x.inputs.map((y) => builder.value(y))
    const { lower } = x.op
    const inBlocks = propagated(builder, x)
    if (inBlocks) return inBlocks
    return typeof lower === 'string' ? builder.emit(lower, operands) : lower(builder, operands, x)
  }

  function leaf(x: Tensor): string {
    const name = x.name as string
    const other = leaves.get(name)
    if (other && other !== x) throw new ArgumentError(`two tensors of the graph are named "${name}"; give each its own name`)
    leaves.set(name, x)
    const stored = storedOf(x)
    if (stored) return initialize(stored, x.dtype)
    ;(isParameter(x) ? state : inputs).push(x)
    return name
  }

  // In order, so that a deep network needs no deep recursion. In training from the last output, where the engine starts too:
  // gradients of the last layers come first, and what only they need is free again.
  for (const x of trains ? topologicalOrder(Object.values(outputs).reverse()) : order) if (!values.has(x)) builder.value(x)
  const output = Object.entries(outputs).map(([name, x]): OnnxValue => {
    if (!name) throw new ArgumentError(`an output ${showShape(x.shape)} has no name`)
    if (leaves.has(name))
      throw new ArgumentError(`an output and an input of the graph are both named "${name}"; rename the output`)
    node.push({
      input: [builder.value(x)],
      output: [name],
      name: `output ${name}`,
      opType: 'Identity',
      domain: '',
      attribute: [],
    })
    return valueInfo(name, x)
  })
  const live = needed(node, Object.keys(outputs))
  const used = new Set(live.flatMap(({ input }) => input))
  const model: OnnxModel = {
    irVersion: IR_VERSION,
    producerName: 'langevin',
    opsetImport: [
      { domain: '', version: OPSET },
      ...DOMAINS.filter((domain) => domains.has(domain)).map((domain) => ({ domain, version: 1 })),
    ],
    graph: {
      name: 'langevin',
      node: live,
      initializer: initializer.filter(({ name }) => used.has(name)),
      input: [...inputs, ...state].map((x) => valueInfo(x.name as string, x)),
      output,
    },
  }
  return { model, inputs, state, layoutLeft, foldable: isFoldable(model) }
}

/** The nodes that the outputs depend on: a parameter in another arrangement leaves the stored one unused. */
function needed(nodes: readonly OnnxNode[], outputs: readonly string[]): OnnxNode[] {
  const wanted = new Set(outputs)
  const live = nodes.toReversed().filter(({ input, output }) => {
    if (!output.some((name) => wanted.has(name))) return false
    for (const name of input) wanted.add(name)
    return true
  })
  return live.reverse()
}

const SMALL = 2 ** 14

function isFoldable({ graph }: OnnxModel): boolean {
  const constants = new Map(graph.initializer.map(({ name, dims }) => [name, sizeOf(dims)]))
  return graph.node.some(({ input, output, opType }) => {
    const sizes = input.filter(Boolean).map((name) => constants.get(name))
    if (sizes.includes(undefined)) return false
    const most = Math.max(0, ...(sizes as number[]))
    for (const name of output) constants.set(name, most)
    return most > SMALL && opType !== 'Reshape'
  })
}

/** Rows of a stored value, from `start` to before `end`. */
function rowsOf(stored: StoredValue, start: number, end: number): StoredValue {
  const [, ...rest] = stored.shape
  const [shape, row] = [[end - start, ...rest], sizeOf(rest)]
  return 'data' in stored
    ? { dtype: stored.dtype, shape, data: stored.data.subarray(start * row, end * row) as TypedArray }
    : { ...stored, shape, offset: stored.offset + start * row * bytesPer[stored.dtype] }
}

function checkStoredShape(x: Tensor, stored: StoredValue): void {
  if (sameShape(stored.shape, x.shape)) return
  throw new ArgumentError(`${x.name}: expected ${showShape(x.shape)}, got ${showShape(stored.shape)}`)
}

/** FNV-1a over a spread of the bytes: equal constants share it. */
function hash(bytes: Uint8Array): number {
  const step = Math.max(1, Math.floor(bytes.length / 1024))
  let h = 0x811c9dc5
  for (let i = 0; i < bytes.length; i += step) h = Math.imul(h ^ (bytes[i] as number), 0x01000193)
  return h >>> 0
}

/** Compares four bytes at a time where it can: tables of a network's weights have millions of elements. */
function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  if (a.buffer === b.buffer && a.byteOffset === b.byteOffset) return true
  const wide = [a, b].every(({ byteOffset, length }) => byteOffset % 4 === 0 && length % 4 === 0)
  const [x, y] = [a, b].map((bytes) => (wide ? new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) : bytes))
  for (let i = 0; i < (x as Uint8Array).length; i++) if (x?.[i] !== y?.[i]) return false
  return true
}

const valueInfo = (name: string, x: Tensor): OnnxValue => ({
  name,
  type: { tensorType: { elemType: onnxType[x.dtype], shape: { dim: x.shape.map((dimValue) => ({ dimValue })) } } },
})

function attributeOf([name, value]: [string, OnnxAttribute]): OnnxAttributeProto {
  if (typeof value === 'number') return { name, type: 2, i: value }
  if (typeof value === 'string') return { name, type: 3, s: new TextEncoder().encode(value) }
  if ('float' in value) return { name, type: 1, f: value.float }
  return { name, type: 7, ints: [...value] }
}

function contents(
  stored: { readonly data: ArrayBufferView } | { readonly file: string; readonly offset: number; readonly length: number },
  locate: (file: string) => string,
): Pick<OnnxTensor, 'rawData' | 'externalData' | 'dataLocation'> {
  if ('data' in stored) {
    return { rawData: new Uint8Array(stored.data.buffer, stored.data.byteOffset, stored.data.byteLength) }
  }
  const { file, offset, length } = stored
  // To the engine a length of 0 in a file is the rest of the file.
  if (length === 0) return { rawData: new Uint8Array() }
  const entry = (key: string, value: string | number) => ({ key, value: String(value) })
  return {
    dataLocation: 1,
    externalData: [entry('location', locate(file)), entry('offset', offset), entry('length', length)],
  }
}
