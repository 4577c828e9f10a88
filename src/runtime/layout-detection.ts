import type { Tensor as OrtTensor } from 'onnxruntime-common'
import { conv, groupNorm } from '../core/functions.ts'
import { vjp } from '../core/grad.ts'
import { lower } from '../core/onnx/lower.ts'
import type { OnnxModel } from '../core/onnx/proto.ts'
import { input, ones, type Tensor, zeros } from '../core/tensor.ts'
import { createSession, fromOrt, toOrt } from './engine.ts'
import { NdArray } from './ndarray.ts'

let block: Promise<number> | undefined
/**
 * Channels in a block of the CPU kernels' blocked layout, found by reordering a counted array: its second element is
 * then the first channel's neighbour. 0 where this machine's kernels have no such layout.
 */
export const channelBlock = (): Promise<number> => (block ??= detectBlock())

async function detectBlock(): Promise<number> {
  const channels = 16
  const value = (name: string) => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: [1, channels, 1, 2].map((dimValue) => ({ dimValue })) } } },
  })
  const model: OnnxModel = {
    irVersion: 10,
    producerName: 'langevin',
    opsetImport: [
      { domain: '', version: 21 },
      { domain: 'com.microsoft.nchwc', version: 1 },
    ],
    graph: {
      name: 'block',
      node: [{ input: ['x'], output: ['y'], name: 'r', opType: 'ReorderInput', domain: 'com.microsoft.nchwc', attribute: [] }],
      initializer: [],
      input: [value('x')],
      output: [value('y')],
    },
  }
  try {
    const session = await createSession(model, { device: 'cpu' })
    const counted = Float32Array.from({ length: channels * 2 }, (_, i) => i)
    const { y } = await session.run({ x: await toOrt(new NdArray(counted, [1, channels, 1, 2], 'f32')) })
    await session.release()
    // Pixel 1 of channel 0 (value 1) follows the block's channels of pixel 0.
    const found = (fromOrt(y as OrtTensor).data as Float32Array).indexOf(1)
    return (found === 8 || found === 16) && (await blocksAgree(found)) ? found : 0
  } catch {
    return 0
  }
}

/**
 * The blocked kernels are ONNX Runtime's own, promised to nobody: a convolution, its gradients and what may stand between two must
 * equal the plain ones.
 */
async function blocksAgree(channelBlock: number): Promise<boolean> {
  const channels = 64
  const [x, w] = [input('x', [1, channels, 16, 16]), input('w', [channels, channels, 3, 3])]
  const y = [conv(x, w, { padding: 1 }), conv(x, w, { stride: 2, padding: 1 })]
  const [first] = y as [Tensor, Tensor]
  const normal = groupNorm(first, channels / 4, ones([channels]), zeros([channels])).silu()
  const chain = conv(normal, w, { padding: 1 }).add(first)
  const outputs = Object.fromEntries([...y, ...vjp(y, [x, w], y), chain].map((output, i) => [`${i}`, output]))
  const wave = async ({ shape, size }: Tensor) =>
    toOrt(
      new NdArray(
        Float32Array.from({ length: size }, (_, i) => Math.sin(i)),
        shape,
        'f32',
      ),
    )
  const feeds = { x: await wave(x), w: await wave(w) }
  const run = async (channelBlock: number) => {
    const { model } = lower({ outputs }, { target: 'cpu', channelBlock })
    const session = await createSession(model, { device: 'cpu', rewrite: false })
    const results = await session.run(feeds)
    await session.release()
    return Object.keys(outputs).map((name) => fromOrt(results[name] as OrtTensor).data as Float32Array)
  }
  const [found, plain] = [await run(channelBlock), await run(0)]
  return plain.every((expected, k) => {
    const size = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    return expected.every((value, i) => Math.abs(value - (found[k]?.[i] as number)) < 1e-4 * size)
  })
}
