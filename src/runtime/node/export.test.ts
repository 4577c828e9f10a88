import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession } from 'onnxruntime-node'
import { afterAll, expect, test } from 'vitest'
import { ArgumentError } from '../../core/errors.ts'
import { topologicalOrder } from '../../core/grad.ts'
import * as core from '../../core/index.ts'
import { grad, input, parameter, type Tensor } from '../../core/index.ts'
import { fromOrt, toOrt } from '../engine.ts'
import { NdArray } from '../ndarray.ts'
import { evaluate } from '../program.ts'
import { Generator } from '../random.ts'
import { State } from '../state.ts'
import type { FileTensor } from '../weights.ts'
import { exportOnnx } from './export.ts'

const folder = mkdtempSync(join(tmpdir(), 'langevin-export-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Runs an exported file in a session of the engine's own defaults. */
async function runFile(path: string, feeds: Record<string, NdArray>): Promise<Record<string, NdArray>> {
  const session = await InferenceSession.create(path)
  const values = await Promise.all(Object.entries(feeds).map(async ([name, x]) => [name, await toOrt(x)] as const))
  const results = await session.run(Object.fromEntries(values))
  await session.release()
  return Object.fromEntries(Object.entries(results).map(([name, x]) => [name, fromOrt(x)]))
}

/** A small network of convolution, norms, attention and a residual, with its weights. */
function network(): { x: Tensor; y: Tensor; weights: Map<string, NdArray> } {
  const generator = new Generator(0)
  const weights = new Map<string, NdArray>()
  const p = (name: string, shape: readonly number[]) => {
    weights.set(name, generator.randn(shape).mul(0.3))
    return parameter(name, shape)
  }
  const x = input('x', [1, 3, 6, 6])
  const h = core.conv(x, p('in.weight', [16, 3, 3, 3]), { padding: 1, bias: p('in.bias', [16]) })
  const normal = core.groupNorm(h, 4, p('norm.weight', [16]), p('norm.bias', [16])).silu()
  const tokens = normal.reshape([1, 16, 36]).transpose(0, 2, 1)
  const mixed = core.attention(tokens, tokens, tokens, { heads: 2, causal: true }).gelu('quick').add(tokens)
  const out = core.linear(core.rmsNorm(mixed, p('rms.weight', [16])), p('out.weight', [5, 16]), p('out.bias', [5]))
  return { x, y: out.softmax(), weights }
}

test('a network and its gradients, embedded and with the weights beside it, give what a program gives', async () => {
  const { x, y, weights } = network()
  const held = new Map(topologicalOrder([y]).map((t) => [t.name, t]))
  const gradients = grad(y.square().sum(), [x, held.get('in.weight')!, held.get('norm.bias')!])
  const outputs = { y, dx: gradients[0]!, dw: gradients[1]!, db: gradients[2]! }
  const feeds = { x: new Generator(1).randn([1, 3, 6, 6]) }
  const expected = await evaluate({ outputs, weights }, feeds)
  const [one, two] = [join(folder, 'one.onnx'), join(folder, 'two.onnx')]
  expect(await exportOnnx({ outputs, weights }, one)).toEqual([one])
  expect(await exportOnnx({ outputs, weights }, two, { weights: 'external' })).toEqual([two, `${two}.data`])
  for (const path of [one, two]) {
    const results = await runFile(path, feeds)
    for (const name of Object.keys(outputs)) {
      const scale = Math.max(1e-6, expected[name]!.abs().max().item())
      expect(results[name]!.sub(expected[name]!).abs().max().item() / scale, `${name} of ${path}`).toBeLessThan(1e-5)
    }
  }
  const embedded = [...weights.values()].reduce((sum, { size }) => sum + size * 4, 0)
  expect(statSync(one).size).toBeGreaterThan(embedded)
  expect(statSync(two).size).toBeLessThan(statSync(one).size - embedded + 4096)
})

test('weights in half precision, in files, and in a state', async () => {
  const [a, b, c] = ['a', 'b', 'c'].map((name) => parameter(name, [3])) as [Tensor, Tensor, Tensor]
  const file = join(folder, 'weights.bin')
  writeFileSync(file, Buffer.concat([Buffer.from([7, 7, 7]), Buffer.from(Float32Array.of(10, 20, 30).buffer), Buffer.from([7])]))
  const weights = new Map<string, NdArray | FileTensor>([
    ['a', NdArray.from([1, 2, 3]).cast('bf16')],
    ['b', { dtype: 'f32', shape: [3], file, offset: 3 }],
  ])
  const state = await State.from([['c', NdArray.from([100, 200, 300])]])
  for (const place of ['embedded', 'external'] as const) {
    const path = join(folder, `mixed-${place}.onnx`)
    await exportOnnx({ outputs: { y: a.add(b).add(c) }, weights, state }, path, { weights: place })
    expect(Array.from((await runFile(path, {})).y?.data as Float32Array)).toEqual([111, 222, 333])
  }
})

test('a parameter without a value, or a file that ends early, leaves what was there', async () => {
  const w = parameter('w', [4])
  const path = join(folder, 'kept.onnx')
  await exportOnnx({ outputs: { y: w.mul(2) }, weights: new Map([['w', NdArray.full([4], 1)]]) }, path)
  await expect(exportOnnx({ outputs: { y: w } }, path)).rejects.toThrow(
    new ArgumentError(`export of ${path}: parameter "w" has no value; give it in weights or in state`),
  )
  const file = join(folder, 'short.bin')
  writeFileSync(file, Buffer.alloc(10))
  const short = new Map([['w', { dtype: 'f32' as const, shape: [4], file, offset: 2 }]])
  for (const weights of ['embedded', 'external'] as const) {
    await expect(exportOnnx({ outputs: { y: w }, weights: short }, path, { weights })).rejects.toThrow(
      'short.bin ends before a weight of 16 bytes at 2',
    )
  }
  expect(Array.from((await runFile(path, {})).y?.data as Float32Array)).toEqual([2, 2, 2, 2])
  expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([])
  expect(existsSync(`${path}.data`)).toBe(false)
})
