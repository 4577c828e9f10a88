import { grad } from '../core/grad.ts'
import { parameter, type Tensor } from '../core/tensor.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { compile, type Program } from '../runtime/program.ts'
import { State } from '../runtime/state.ts'
import type { Feeds, Objective, StepOptions, StepPrograms } from './objective.ts'
import { globalNorm, ruleOf, type Scalars } from './optimizer.ts'
import { batchesOf, EMA, feedsOf, reported, scalarInputs, stateName, updated } from './state.ts'

const SUM = 'grad'

/**
 * Steps with parameters that stay on the device between them: one program that also updates, or with several batches one that adds
 * gradients up in `key@grad` and one that updates.
 */
export async function residentStep(
  { params, loss, metrics }: Objective,
  values: ReadonlyMap<string, NdArray>,
  options: StepOptions,
): Promise<StepPrograms> {
  const { optimizer, device = 'cpu', threads = 0 } = options
  const batches = batchesOf(options)
  const tensors = [...params.tensors]
  const state = await State.from(initialState(params.tensors, values, options))
  const gradients = grad(
    loss,
    tensors.map(([, p]) => p),
  )
  const scalars = scalarInputs(optimizer)
  const updatesBy = (gradients: readonly Tensor[], norm: Tensor) =>
    tensors.flatMap(([key, p], i) => {
      const part = (name: string) => parameter(stateName(key, name), p.shape)
      const next = updated(p, gradients[i] as Tensor, part, norm, scalars, ruleOf(optimizer, key, p.shape), options)
      return [...next].map(([name, x]) => [stateName(key, name), x] as const)
    })

  const outputs = reported(loss, metrics)
  if (batches === 1) {
    const norm = globalNorm(gradients)
    const updates = new Map(updatesBy(gradients, norm))
    const program = await compile({ outputs: { ...outputs, gradNorm: norm }, state, updates }, { device, threads })
    return stepOf(state, [program], async (batches, scalars) => [
      await program.run({ ...batches[0], ...feedsOf(program, scalars) }),
    ])
  }
  const sums = tensors.map(([key, p]) => parameter(stateName(key, SUM), p.shape))
  const adding = new Map(sums.map((sum, i) => [sum.name as string, sum.add(gradients[i] as Tensor)]))
  const add = await compile({ outputs, state, updates: adding }, { device, threads })
  const means = sums.map((sum) => sum.div(batches))
  const norm = globalNorm(means)
  const clearing = sums.map((sum) => [sum.name as string, sum.mul(0)] as const)
  const updates = new Map([...updatesBy(means, norm), ...clearing])
  const step = await compile({ outputs: { gradNorm: norm }, state, updates }, { device, threads })
  return stepOf(state, [add, step], async (batches, scalars) => {
    const results: Record<string, NdArray>[] = []
    for (const batch of batches) results.push(await add.run(batch))
    return [...results.slice(0, -1), { ...results.at(-1), ...(await step.run(feedsOf(step, scalars))) }]
  })
}

const stepOf = (
  state: State,
  programs: readonly Program[],
  run: (batches: readonly Feeds[], scalars: Scalars) => Promise<Record<string, NdArray>[]>,
): StepPrograms => {
  let intact = true
  return {
    intact: () => intact,
    async run(batches, scalars) {
      intact = false
      const results = await run(batches, scalars)
      intact = true
      return results
    },
    read: (names) => state.read(names),
    async release() {
      for (const program of programs) await program.release()
      await state.release()
    },
  }
}

/** Every value that the state holds, from those given, else the start: a zero optimizer state, averages equal to the parameters. */
function initialState(
  tensors: ReadonlyMap<string, Tensor>,
  values: ReadonlyMap<string, NdArray>,
  options: StepOptions,
): Map<string, NdArray> {
  const { optimizer, ema } = options
  const state = new Map<string, NdArray>()
  for (const [key, { shape }] of tensors) {
    const value = values.get(key) as NdArray
    state.set(key, value)
    for (const part of ruleOf(optimizer, key, shape).state) {
      const name = stateName(key, part)
      state.set(name, values.get(name) ?? NdArray.zeros(shape, 'f32'))
    }
    if (batchesOf(options) > 1) state.set(stateName(key, SUM), NdArray.zeros(shape, 'f32'))
    if (ema) state.set(stateName(key, EMA), values.get(stateName(key, EMA)) ?? value)
  }
  return state
}
