import { stack } from '../core/functions.ts'
import { topologicalOrder } from '../core/grad.ts'
import type { OnnxModel } from '../core/onnx/proto.ts'
import { conv } from '../core/ops/conv.ts'
import { type ConvRange, canQuantizeConv, type Quantization } from '../core/ops/quantized.ts'
import { isParameter, type Tensor } from '../core/tensor.ts'
import { createSession, fromOrt, toOrt } from './engine.ts'
import { NdArray } from './ndarray.ts'
import { type CompileOptions, type Computation, compile, type Program } from './program.ts'

/** Least and greatest values of each convolution's input and result, by the name of its weight. */
export type Ranges = Readonly<Record<string, ConvRange>>

/**
 * Layers in few bits, on the CPU. `int8`: convolutions and matrix products in 8-bit integers, convolutions in the ranges that
 * a `Calibration` found. `int4`: weights of matrix products in 4 bits and of convolutions in 8, for the least memory.
 */
export type Quantize = { readonly kind: 'int8'; readonly ranges: Ranges } | { readonly kind: 'int4' }

const RANGES = 'calibration:ranges'

/**
 * A computation in float that notes, at each run, the ranges that its convolutions see. Run it on a few real inputs, such as
 * the steps of one short sampling; then compile the computation with `{ quantize: { kind: 'int8', ranges } }`.
 */
export class Calibration {
  private readonly program: Program
  private readonly names: readonly string[]
  private readonly found = new Map<string, ConvRange>()

  private constructor(program: Program, names: readonly string[]) {
    this.program = program
    this.names = names
  }

  /** @throws what `compile` does */
  static async compile(computation: Computation, options: CompileOptions = {}): Promise<Calibration> {
    const layers = layersOf(computation)
    const ranges = [...layers.values()].flatMap(([x, y]) => [x.min(), x.max(), y.min(), y.max()])
    const outputs = { ...computation.outputs }
    if (ranges.length > 0) outputs[RANGES] = stack(ranges)
    const whole = { ...computation, outputs }
    return new Calibration(await compile(whole, options), [...layers.keys()])
  }

  /** Runs as the computation's own program would, and widens the ranges. */
  async run(feeds: Readonly<Record<string, NdArray>> = {}): Promise<Record<string, NdArray>> {
    const { [RANGES]: seen, ...results } = await this.program.run(feeds)
    for (const [i, name] of this.names.entries()) {
      const now = [0, 1, 2, 3].map((k) => seen?.data[4 * i + k] as number)
      const before = this.found.get(name) ?? now
      const widened = now.map((value, k) => (k % 2 === 0 ? Math.min : Math.max)(value, before[k] as number))
      this.found.set(name, widened as unknown as ConvRange)
    }
    return results
  }

  /** What all runs so far saw. */
  get ranges(): Ranges {
    return Object.fromEntries(this.found)
  }

  release(): Promise<void> {
    return this.program.release()
  }
}

/** Inputs and results of the convolutions that can be quantised, by their weights. One weight used twice has no one range. */
function layersOf({ outputs, weights }: Computation): Map<string, readonly [Tensor, Tensor]> {
  const layers = new Map<string, readonly [Tensor, Tensor]>()
  const twice = new Set<string>()
  for (const y of topologicalOrder(Object.values(outputs))) {
    const [x, w] = y.inputs
    if (y.op !== conv || !x || !w || !isParameter(w) || !weights?.has(w.name as string) || !canQuantizeConv(y)) continue
    if (layers.has(w.name as string)) twice.add(w.name as string)
    layers.set(w.name as string, [x, y])
  }
  for (const name of twice) layers.delete(name)
  return layers
}

/** As the lowering takes it. */
export async function quantizationOf(quantize: Quantize): Promise<Quantization> {
  const saturates = await saturation()
  return quantize.kind === 'int8'
    ? { ...quantize, ranges: new Map(Object.entries(quantize.ranges)), saturates }
    : { kind: 'int4', saturates }
}

let saturating: Promise<boolean> | undefined
const saturation = () => (saturating ??= detectSaturation())

/** Whether products of 8-bit integers saturate on this machine: without VNNI pairs of them are added in 16 bits. */
async function detectSaturation(): Promise<boolean> {
  const [rows, depth, columns] = [16, 64, 16]
  const value = (name: string, elemType: number, shape: readonly number[]) => ({
    name,
    type: { tensorType: { elemType, shape: { dim: shape.map((dimValue) => ({ dimValue })) } } },
  })
  const model: OnnxModel = {
    irVersion: 10,
    producerName: 'langevin',
    opsetImport: [{ domain: '', version: 21 }],
    graph: {
      name: 'saturation',
      node: [{ input: ['x', 'w'], output: ['y'], name: 'y', opType: 'MatMulInteger', domain: '', attribute: [] }],
      initializer: [{ name: 'w', dims: [depth, columns], dataType: 3, rawData: new Uint8Array(depth * columns).fill(127) }],
      input: [value('x', 2, [rows, depth])],
      output: [value('y', 6, [rows, columns])],
    },
  }
  const session = await createSession(model, { device: 'cpu' })
  const { y } = await session.run({ x: await toOrt(new NdArray(new Uint8Array(rows * depth).fill(255), [rows, depth], 'u8')) })
  await session.release()
  return fromOrt(y as never).data.some((sum) => sum !== 255 * 127 * depth)
}
