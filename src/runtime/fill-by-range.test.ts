import { expect, test } from 'vitest'
import { lower } from '../core/onnx/lower.ts'
import { input } from '../core/tensor.ts'
import { conv, linear } from '../nn/layers.ts'
import { Params } from '../nn/params.ts'
import { backend } from './current-backend.ts'
import { createSession, fromOrt, toOrt } from './engine.ts'
import { fillByRange } from './fill-by-range.ts'
import { channelBlock } from './layout-detection.ts'
import { evaluate } from './program.ts'
import { Generator } from './random.ts'
import type { FileTensor } from './weights.ts'

test.each(['f32', 'f16'] as const)('weights that come one range after another, as over a network, from %s', async (dtype) => {
  const p = new Params()
  const picture = input('x', [1, 64, 16, 16])
  const y = linear(p.at('out'), 64, 8)(conv(p.at('conv'), 64, 64, 3, { padding: 1 })(picture).mean([2, 3]))
  const arrays = new Map([...p.initialise(new Generator(0))].map(([key, value]) => [key, value.cast(dtype)]))
  const bytes = new Map([...arrays].map(([key, { data }]) => [key, new Uint8Array(data.buffer)]))
  const stored = new Map<string, FileTensor>([...arrays].map(([key, { shape }]) => [key, { dtype, shape, file: key, offset: 1 }]))

  const graph = lower({ outputs: { y }, weights: stored }, { target: 'cpu', channelBlock: await channelBlock(), packs: true })
  const asked: string[] = []
  await fillByRange(graph, async ({ file, offset }, length) => {
    await new Promise((resolve) => setTimeout(resolve, 1))
    asked.push(file)
    // At an odd place within a larger buffer.
    const answer = new Uint8Array(length + 3)
    answer.set(bytes.get(file)!.subarray(offset - 1, offset - 1 + length), 3)
    return answer.subarray(3)
  })
  expect(asked.sort()).toEqual([...arrays.keys()].sort())

  const x = new Generator(1).randn(picture.shape)
  const session = await createSession(graph.model, { device: 'cpu', rewrite: false })
  const found = fromOrt((await session.run({ x: await toOrt(x) })).y!)
  await session.release()
  const { y: expected } = await evaluate({ outputs: { y }, weights: arrays }, { x }, { memory: 'speed' })
  expect(found.sub(expected!).abs().max().item()).toBeLessThan(1e-5)
  const { total, free } = (await backend()).memory()
  expect(free).toBeGreaterThan(0)
  expect(free).toBeLessThanOrEqual(total)
})
