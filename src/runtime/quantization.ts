import type { OnnxModel } from '../core/onnx/proto.ts'
import type { ConvRange, Quantization } from '../core/onnx/types.ts'
import { createSession, fromOrt, toOrt } from './engine.ts'
import { NdArray } from './ndarray.ts'

/** Least and greatest values of each convolution's input and result, by the name of its weight. */
export type Ranges = Readonly<Record<string, ConvRange>>

/**
 * Layers in few bits, on the CPU. `int8`: convolutions and matrix products in 8-bit integers, convolutions in the ranges that
 * a `Calibration` found. `int4`: weights of matrix products in 4 bits and of convolutions in 8, for the least memory.
 */
export type Quantize = { readonly kind: 'int8'; readonly ranges: Ranges } | { readonly kind: 'int4' }

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
