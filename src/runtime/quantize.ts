import { stack } from '../core/functions.ts'
import { topologicalOrder } from '../core/grad.ts'
import type { ConvRange } from '../core/onnx/types.ts'
import { conv } from '../core/ops/conv.ts'
import { canQuantizeConv } from '../core/ops/quantized.ts'
import { isParameter, type Tensor } from '../core/tensor.ts'
import type { NdArray } from './ndarray.ts'
import { type CompileOptions, type Computation, compile, type Program } from './program.ts'
import type { Ranges } from './quantization.ts'

export { type Quantize, quantizationOf, type Ranges } from './quantization.ts'

const RANGES = 'calibration:ranges'

/**
 * A computation in float that notes, at each run, the ranges that its convolutions see. Run it on a few real inputs, such as
 * the steps of one short sampling; then compile the computation with `{ quantization: { kind: 'int8', ranges } }`.
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
