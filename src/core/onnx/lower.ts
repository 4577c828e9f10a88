import { bytesPer, type DType, elements, type TypedArray } from '../dtype.ts'
import { ArgumentError } from '../errors.ts'
import { topologicalOrder } from '../grad.ts'
import { onnxType } from '../ops/elementwise.ts'
import type { Lowering, OnnxAttribute, Target } from '../ops/op.ts'
import { type Shape, sameShape, showShape, sizeOf } from '../shape.ts'
import { isConstant, isInput, isParameter, type Tensor } from '../tensor.ts'
import type { OnnxAttributeProto, OnnxModel, OnnxTensor, OnnxValue } from './proto.ts'

/** A parameter's stored value: in memory, or in a file at a byte offset. */
export type StoredValue = { readonly dtype: DType; readonly shape: Shape } & (
  | { readonly data: TypedArray }
  | { readonly file: string; readonly offset: number }
)

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
}

/** A graph in ONNX, and what it takes and gives. */
export interface Lowered {
  readonly model: OnnxModel
  readonly inputs: readonly Tensor[]
  /** Parameters that are inputs of the graph. */
  readonly state: readonly Tensor[]
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
const CHEAP = new Set(['add', 'sub', 'mul', 'div', 'reshape', 'sigmoid', 'silu', 'gelu', 'standardize'])
/** As many as group norm and an activation need; where longer rows of cheap operations are made again, one value is kept. */
const MOST_STEPS = 8
/** The one input of its size that a tensor is made from fast, the others being small. */
function cheapFrom(x: Tensor): Tensor | undefined {
  const [from, ...others] = CHEAP.has(x.op.name) ? x.inputs.filter((y) => y.size * 8 > x.size) : []
  return others.length === 0 ? from : undefined
}

/** Symbolic tensors → an ONNX model. Only what the outputs depend on is lowered, each tensor once. */
export function lower(
  { outputs, weights = new Map() }: Graph,
  { target, channelBlock = 0, fusedAttention = target !== 'portable', locate = (file) => file }: LowerOptions,
): Lowered {
  const node: OnnxModel['graph']['node'] = []
  const initializer: OnnxTensor[] = []
  const values = new Map<Tensor, Made>()
  const forms = new Map<Tensor, Map<string, Made>>()
  const constants = new Map<string, OnnxTensor[]>()
  const constancy = new Map<Tensor, boolean>()
  const inputs: Tensor[] = []
  const state: Tensor[] = []
  const leaves = new Map<string, Tensor>()
  const domains = new Set<string>()
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

  function lowerNode(x: Tensor): string {
    const operands = isConstant(x) ? [] : x.inputs.map((y) => builder.value(y))
    const { lower } = x.op
    return typeof lower === 'string' ? builder.emit(lower, operands) : lower(builder, operands, x)
  }

  function leaf(x: Tensor): string {
    const name = x.name as string
    const other = leaves.get(name)
    if (other && other !== x) throw new ArgumentError(`two tensors of the graph are named "${name}"; give each its own name`)
    leaves.set(name, x)
    const stored = isParameter(x) ? weights.get(name) : undefined
    if (!stored) {
      ;(isParameter(x) ? state : inputs).push(x)
      return name
    }
    if (!sameShape(stored.shape, x.shape)) {
      throw new ArgumentError(`${name}: expected ${showShape(x.shape)}, got ${showShape(stored.shape)}`)
    }
    initializer.push({ name, dims: [...x.shape], dataType: onnxType[stored.dtype], ...contents(stored, locate) })
    return stored.dtype === x.dtype ? name : builder.emit('Cast', [name], { to: onnxType[x.dtype] })
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
  const model: OnnxModel = {
    irVersion: IR_VERSION,
    producerName: 'langevin',
    opsetImport: [
      { domain: '', version: OPSET },
      ...DOMAINS.filter((domain) => domains.has(domain)).map((domain) => ({ domain, version: 1 })),
    ],
    graph: {
      name: 'langevin',
      node,
      initializer,
      input: [...inputs, ...state].map((x) => valueInfo(x.name as string, x)),
      output,
    },
  }
  return { model, inputs, state }
}

/** FNV-1a over a spread of the bytes: equal constants share it. */
function hash(bytes: Uint8Array): number {
  const step = Math.max(1, Math.floor(bytes.length / 1024))
  let h = 0x811c9dc5
  for (let i = 0; i < bytes.length; i += step) h = Math.imul(h ^ (bytes[i] as number), 0x01000193)
  return h >>> 0
}

const equalBytes = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, i) => byte === b[i])

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
  stored: StoredValue,
  locate: (file: string) => string,
): Pick<OnnxTensor, 'rawData' | 'externalData' | 'dataLocation'> {
  if ('data' in stored) {
    return { rawData: new Uint8Array(stored.data.buffer, stored.data.byteOffset, stored.data.byteLength) }
  }
  const length = sizeOf(stored.shape) * bytesPer[stored.dtype]
  // To the engine a length of 0 in a file is the rest of the file.
  if (length === 0) return { rawData: new Uint8Array() }
  const entry = (key: string, value: string | number) => ({ key, value: String(value) })
  return {
    dataLocation: 1,
    externalData: [entry('location', locate(stored.file)), entry('offset', stored.offset), entry('length', length)],
  }
}
