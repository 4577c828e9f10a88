import { InferenceSession } from 'onnxruntime-node'
import { expect, test } from 'vitest'
import { convTranspose, input, parameter } from '../../src/core/index.ts'
import { lower } from '../../src/core/onnx/lower.ts'
import { encodeModel, type OnnxModel } from '../../src/core/onnx/proto.ts'
import { fromOrt, toOrt } from '../../src/runtime/engine.ts'
import { evaluate, Generator, type NdArray, State } from '../../src/runtime/index.ts'
import { allCases, type Case, drawCase, outputsOf, relativeError } from './suite.ts'

/** The largest relative error that the results and gradients of a case may have (they measure below 10⁻⁵); none for casts. */
const toleranceOf = ({ group }: Case) => (group === 'cast' ? 0 : 1e-4)

function check(c: Case, results: Readonly<Record<string, NdArray>>): void {
  expect(relativeError(results[`${c.name}=`]!, c.result), 'result').toBeLessThanOrEqual(toleranceOf(c))
  for (const [i, expected] of c.gradients.entries()) {
    if (expected) expect(relativeError(results[`${c.name}=${i}`]!, expected), `gradient ${i}`).toBeLessThanOrEqual(toleranceOf(c))
  }
}

/** The case with those inputs as parameters that `names` holds, and with what is then still fed. */
function withParameters(c: Case, names: readonly string[]) {
  const { xs, feeds } = drawCase(c)
  const held = xs.map((x) => (names.includes(x.name!) ? parameter(x.name!, x.shape, x.dtype) : x))
  const values = Object.entries(feeds)
  return {
    outputs: outputsOf(c, held, c.draw(...held)),
    values: new Map(values.filter(([name]) => names.includes(name))),
    fed: Object.fromEntries(values.filter(([name]) => !names.includes(name))),
  }
}

test.each(allCases)('$name', async (c) => {
  const { xs, y, feeds } = drawCase(c)
  check(c, await evaluate({ outputs: outputsOf(c, xs, y) }, feeds))

  // With weights, which the engine repacks, folds and runs through other kernels.
  const names = Object.keys(feeds)
  const fixed = withParameters(c, names.slice(c.inputs.length > 1 ? 1 : 0))
  check(c, await evaluate({ outputs: fixed.outputs, weights: fixed.values }, fixed.fed, { threads: 1 }))

  // As in training, where graphs are laid out for memory.
  const trained = withParameters(c, names)
  const state = await State.from(trained.values)
  check(c, await evaluate({ outputs: trained.outputs, state }, {}, { threads: 1 }))

  // As exported, in standard operators only, and as WebGPU gets it.
  for (const target of ['portable', 'webgpu'] as const) {
    const { model } = lower({ outputs: outputsOf(c, xs, y) }, { target })
    if (target === 'portable') expect(model.opsetImport).toEqual([{ domain: '', version: 21 }])
    check(c, await runModel(model, feeds))
  }
})

test('transposed convolution in half precision, which WebGPU’s own kernel gets wrong at this size', async () => {
  const generator = new Generator(0)
  const feeds = { x: generator.randn([1, 4, 30, 30]), w: generator.randn([4, 6, 4, 4]) }
  const drawn = (dtype: 'f32' | 'f16') =>
    convTranspose(input('x', [1, 4, 30, 30]).cast(dtype), input('w', [4, 6, 4, 4]).cast(dtype), {
      stride: 2,
      padding: 1,
      groups: 2,
    })
  const { model } = lower({ outputs: { y: drawn('f16').cast('f32') } }, { target: 'webgpu' })
  expect(model.graph.node.map(({ opType }) => opType)).not.toContain('ConvTranspose')
  const expected = await evaluate({ y: drawn('f32') }, feeds)
  const { y } = await runModel(model, feeds)
  expect(relativeError(y!, expected.y!)).toBeLessThan(5e-3)
})

/** Runs a graph on the CPU, in a session of the engine's own. */
async function runModel(model: OnnxModel, feeds: Readonly<Record<string, NdArray>>): Promise<Record<string, NdArray>> {
  const session = await InferenceSession.create(encodeModel(model), { intraOpNumThreads: 1 })
  const values = await Promise.all(Object.entries(feeds).map(async ([name, x]) => [name, await toOrt(x)] as const))
  const results = await session.run(Object.fromEntries(values))
  await session.release()
  return Object.fromEntries(Object.entries(results).map(([name, x]) => [name, fromOrt(x)]))
}
