import type { Tensor as OrtTensor } from 'onnxruntime-common'
import { attention } from '../core/functions.ts'
import { lower } from '../core/onnx/lower.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { createSession, fromOrt, toOrt } from './engine.ts'
import { NdArray } from './ndarray.ts'

let trial: Promise<boolean> | undefined
/**
 * Whether the engine's attention kernel gives the right numbers on this GPU, tried once against the plain form. From 32
 * queries on it shuffles keys between the lanes of a subgroup and counts on 8 of them or more; where there are fewer
 * (SwiftShader) its result is wrong without an error.
 *
 * The session that tries it is never released: with its last session a thread's engine drops the GPU, and with it the
 * compiled shaders that the next program could use.
 */
export const fusedAttentionWorks = (): Promise<boolean> => (trial ??= tryAttention())

async function tryAttention(): Promise<boolean> {
  const [tokens, width] = [32, 8]
  const names = ['q', 'k', 'v']
  const [q, k, v] = names.map((name) => input(name, [1, tokens, width])) as [Tensor, Tensor, Tensor]
  const plain = q
    .matmul(k, { transB: true })
    .mul(width ** -0.5)
    .softmax()
    .matmul(v)
  const error = attention(q, k, v, { heads: 1 }).sub(plain).abs().max()
  const { model } = lower({ outputs: { error } }, { target: 'webgpu' })
  const session = await createSession(model, { device: 'webgpu' })
  const feeds: Record<string, OrtTensor> = {}
  for (const [i, name] of names.entries()) {
    const waves = Float32Array.from({ length: tokens * width }, (_, at) => Math.sin((i + 1) * (at + 1)))
    feeds[name] = await toOrt(new NdArray(waves, [1, tokens, width], 'f32'))
  }
  const results = await session.run(feeds)
  return (fromOrt(results.error as OrtTensor).data[0] as number) < 1e-3
}
