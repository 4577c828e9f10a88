import { ArgumentError } from '../errors.ts'
import { topologicalOrder } from '../grad.ts'
import { onnxType } from '../ops/elementwise.ts'
import { showShape } from '../shape.ts'
import { isParameter, type Tensor } from '../tensor.ts'
import { Builder, type Pending } from './builder.ts'
import { isFoldable, needed } from './liveness.ts'
import type { OnnxModel, OnnxTensor, OnnxValue } from './proto.ts'
import type { Quantization, StoredValue, Target } from './types.ts'

/** What is lowered: named inputs and outputs, and the parameters' values. */
export interface Graph {
  readonly outputs: Readonly<Record<string, Tensor>>
  /** Values of parameters. A parameter without a value becomes an input of the graph, under its own name: state. */
  readonly weights?: ReadonlyMap<string, StoredValue>
}

export interface LowerOptions {
  readonly target: Target
  readonly channelBlock?: number
  /** Whether ONNX Runtime's attention kernel may be used: some GPUs get it wrong. */
  readonly fusedAttention?: boolean
  /** Whether fixed parameters may be packed: else they are used as they are stored. */
  readonly packs?: boolean
  /** Whether large weights stored in 16 bits stay so, cast at every run just before they are used. */
  readonly keepHalf?: boolean
  readonly quantization?: Quantization | undefined
}

/**
 * A graph in ONNX, and what it takes and gives. Its weights have no contents yet: whoever has them packs what `packing` lists,
 * fetches what `direct` lists, and fills in the initializers that each names.
 */
export interface Lowered {
  readonly model: OnnxModel
  readonly inputs: readonly Tensor[]
  /** Parameters that are inputs of the graph. */
  readonly state: readonly Tensor[]
  readonly packing: readonly Pending[]
  readonly direct: readonly { readonly tensor: OnnxTensor; readonly stored: StoredValue }[]
  /** Whether ONNX Runtime should choose layouts; otherwise every weight is packed already. */
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

/** Symbolic tensors → an ONNX model. Only what the outputs depend on is lowered, each tensor once. */
export function lower({ outputs, weights = new Map() }: Graph, options: LowerOptions): Lowered {
  const {
    target,
    channelBlock = 0,
    fusedAttention = target !== 'portable',
    packs = false,
    keepHalf = false,
    quantization,
  } = options
  const order = topologicalOrder(Object.values(outputs))
  if (order.length === 0) throw new ArgumentError('a graph needs an output')
  const reserved = new Set([...Object.keys(outputs), ...order.map((x) => x.name)])
  const trains = target === 'cpu' && order.some((x) => isParameter(x) && !weights.has(x.name as string))
  const made = { target, channelBlock, fusedAttention, packs, keepHalf: packs && keepHalf, quantization, trains, reserved }
  const builder = new Builder(weights, made)

  // In topological order, so that a deep network needs no deep recursion. Training starts from the last output, as ONNX Runtime does:
  // gradients of the last layers come first, and memory that only they need is free again.
  const traced = trains ? topologicalOrder(Object.values(outputs).reverse()) : order
  for (const x of traced) builder.trace(x)
  const output = Object.entries(outputs).map(([name, x]) => outputOf(builder, name, x))
  const live = needed([...builder.casts, ...builder.nodes], Object.keys(outputs))
  const used = new Set(live.flatMap(({ input }) => input))
  const isUsed = ({ name }: OnnxTensor) => used.has(name)
  const { inputs, state, layoutLeft } = builder
  const model: OnnxModel = {
    irVersion: IR_VERSION,
    producerName: 'langevin',
    opsetImport: [
      { domain: '', version: OPSET },
      ...DOMAINS.filter((domain) => builder.domains.has(domain)).map((domain) => ({ domain, version: 1 })),
    ],
    graph: {
      name: 'langevin',
      node: live,
      initializer: builder.initializers.filter(isUsed),
      input: [...inputs, ...state].map((x) => valueInfo(x.name as string, x)),
      output,
    },
  }
  return {
    model,
    inputs,
    state,
    packing: [...builder.packing.values()].filter(({ tensors }) => tensors.some(isUsed)),
    direct: [...builder.direct.values()].filter(({ tensor }) => isUsed(tensor)),
    layoutLeft,
    foldable: isFoldable(model, new Set(builder.casts.map(({ name }) => name))),
  }
}

function outputOf(builder: Builder, name: string, x: Tensor): OnnxValue {
  if (!name) throw new ArgumentError(`an output ${showShape(x.shape)} has no name`)
  if (builder.leaves.has(name))
    throw new ArgumentError(`an output and an input of the graph are both named "${name}"; rename the output`)
  const node = {
    input: [builder.value(x)],
    output: [name],
    name: `output ${name}`,
    opType: 'Identity',
    domain: '',
    attribute: [],
  }
  builder.nodes.push(node)
  return valueInfo(name, x)
}

const valueInfo = (name: string, x: Tensor): OnnxValue => ({
  name,
  type: { tensorType: { elemType: onnxType[x.dtype], shape: { dim: x.shape.map((dimValue) => ({ dimValue })) } } },
})
