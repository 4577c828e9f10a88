import { InferenceSession } from 'onnxruntime-node'
import { expect, test } from 'vitest'
import { parameter } from '../../src/core/index.ts'
import { lower } from '../../src/core/onnx/lower.ts'
import { encodeModel } from '../../src/core/onnx/proto.ts'
import { fromOrt, toOrt } from '../../src/runtime/engine.ts'
import { evaluate, type NdArray, State } from '../../src/runtime/index.ts'
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

  // As exported: standard operators only, in a session of the engine's own.
  const { model } = lower({ outputs: outputsOf(c, xs, y) }, { target: 'portable' })
  expect(model.opsetImport).toEqual([{ domain: '', version: 21 }])
  const session = await InferenceSession.create(encodeModel(model), { intraOpNumThreads: 1 })
  const values = await Promise.all(Object.entries(feeds).map(async ([name, x]) => [name, await toOrt(x)] as const))
  const results = await session.run(Object.fromEntries(values))
  check(c, Object.fromEntries(Object.entries(results).map(([name, x]) => [name, fromOrt(x)])))
  await session.release()
})
