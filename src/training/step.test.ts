import { expect, test } from 'vitest'
import { grad } from '../core/grad.ts'
import { input, parameter, type Tensor } from '../core/tensor.ts'
import { Params, uniform } from '../nn/params.ts'
import { evaluate, type NdArray } from '../runtime/index.ts'
import { Generator } from '../runtime/random.ts'
import { hostStep } from './host-step.ts'
import { adamw, muon, type Optimizer } from './optimizer.ts'
import { residentStep } from './resident-step.ts'
import { type Feeds, TrainingStep } from './step.ts'

/** A loss over parameters of several sizes. */
function objective(width = 7, widths = [3, 5]) {
  const params = new Params()
  const [a, b, c] = [
    params.get('a', [widths[0] as number, width], uniform(1)),
    params.get('b', [width, widths[1] as number], uniform(1)),
    params.get('c', [widths[1] as number], uniform(1)),
  ]
  const x = input('x', [4, widths[0] as number])
  const y = x.matmul(a).tanh().matmul(b).add(c)
  return { params, loss: y.square().mean(), metrics: { mean: y.mean() } }
}

const batches = (n: number, width = 3): Feeds[] =>
  Array.from({ length: n }, (_, i) => ({ x: new Generator(i).randn([4, width]) }))

const scalars = (optimizer: Optimizer, step: number) =>
  Object.fromEntries(
    Object.entries({ ...optimizer.scalars(step, 0.1), ema: 0.5 }).map(([name, value]) => [`scalar:${name}`, value]),
  )

test.each([
  ['AdamW', 1, 1],
  ['AdamW', 3, 1],
  ['AdamW', 1, 2],
  ['AdamW', 2, 3],
  ['Muon', 1, 1],
  ['Muon', 1, 2],
] as const)(
  'on the host and resident on a device parameters are updated alike: %s, accumulation %i, processes %i',
  async (name, accumulation, processes) => {
    const optimizer = { AdamW: adamw, Muon: muon }[name]()
    const options = { optimizer, maxGradNorm: 0.5, accumulation, processes, ema: true }
    const count = accumulation * processes
    // Of Muon's, `a` is a matrix and `b` is too narrow. Its iteration makes small directions, and their rounding, some hundred times longer.
    const digits = name === 'Muon' ? 4 : 5
    const task = () => (name === 'Muon' ? objective(18, [20, 5]) : objective())
    const inputs = batches(count, name === 'Muon' ? 20 : 3)
    const start = task().params.initialise(new Generator(0))
    const both = [await hostStep(task(), start, options), await residentStep(task(), start, options)]
    const found = []
    for (const programs of both) {
      const results = []
      for (let step = 1; step <= 3; step++) results.push(...(await programs.run(inputs, scalars(optimizer, step))))
      const values = await programs.read()
      found.push(new Map([...values, ...results.flatMap((r, i) => Object.entries(r).map(([k, v]) => [`${k} ${i}`, v] as const))]))
      await programs.release()
    }
    const [host, resident] = found as [Map<string, NdArray>, Map<string, NdArray>]
    const shared = [...resident.keys()].filter((name) => !name.endsWith('@grad') && host.has(name))
    expect(host.has('a@v'), 'the squares of gradients, which Muon has no use for').toBe(name === 'AdamW')
    expect(shared).toEqual(expect.arrayContaining(['a', 'b@m', 'c@v', 'a@ema', `gradNorm ${3 * count - 1}`, 'loss 0']))
    for (const name of shared) {
      const value = host.get(name) as NdArray
      const other = resident.get(name) as NdArray
      expect(value.shape, name).toEqual(other.shape)
      for (let i = 0; i < value.size; i++) expect(value.data[i], `${name} ${i}`).toBeCloseTo(Number(other.data[i]), digits)
    }
  },
)

test('more parameters than a chunk holds: every element is updated by its own gradient', async () => {
  const task = objective(70_001)
  const start = task.params.initialise(new Generator(1))
  const step = await TrainingStep.compile(task, start, { optimizer: adamw({ weightDecay: 0 }) })
  const [batch] = batches(1) as [Feeds]
  const { loss } = await step.run([batch], adamw().scalars(1, 0.01))
  const after = await step.weights()
  await step.release()

  const fresh = objective(70_001)
  const names = [...fresh.params.tensors.keys()]
  const gradients = grad(fresh.loss, [...fresh.params.tensors.values()])
  const outputs = { loss: fresh.loss, ...Object.fromEntries(names.map((name, i) => [`d${name}`, gradients[i] as Tensor])) }
  const expected = await evaluate({ outputs, weights: start }, batch)
  expect(loss / Number(expected.loss?.data[0])).toBeCloseTo(1, 6)
  for (const name of names) {
    const [before, now, g] = [start.get(name), after.get(name), expected[`d${name}`]] as [NdArray, NdArray, NdArray]
    let worst = 0
    // The first step of Adam: the learning rate, against the gradient's sign.
    for (let i = 0; i < before.size; i++) {
      const slope = Number(g.data[i])
      const wanted = Number(before.data[i]) - (0.01 * slope) / (Math.abs(slope) + 1e-8)
      worst = Math.max(worst, Math.abs(Number(now.data[i]) - wanted))
    }
    expect(worst, name).toBeLessThan(1e-3)
  }
})

test('weights are copies: the next step does not change them', async () => {
  const task = objective()
  const step = await TrainingStep.compile(task, task.params.initialise(new Generator(2)), { optimizer: adamw() })
  const before = await step.weights()
  const kept = [...(before.get('a') as NdArray).data]
  await step.run(batches(1), adamw().scalars(1, 0.1))
  expect([...(before.get('a') as NdArray).data]).toEqual(kept)
  expect([...((await step.weights()).get('a') as NdArray).data]).not.toEqual(kept)
  await step.release()
})

test('a parameter without a value is named', async () => {
  const { params } = objective()
  params.get('d', [1], uniform(1))
  const start = objective().params.initialise(new Generator(0))
  const task = { params, loss: parameter('d', [1]).square().sum() }
  await expect(TrainingStep.compile(task, start, { optimizer: adamw() })).rejects.toThrow('no value for the parameter d')
})

test('a start of another shape or dtype than its parameter is refused by name', async () => {
  const task = objective()
  const start = task.params.initialise(new Generator(0))
  const compiled = (a: NdArray) => TrainingStep.compile(task, new Map([...start, ['a', a]]), { optimizer: adamw() })
  const [rows = 0, columns = 0] = start.get('a')?.shape ?? []
  await expect(compiled(new Generator(0).randn([columns, rows]))).rejects.toThrow('a: expected [3, 7], got [7, 3]')
  await expect(compiled((start.get('a') as NdArray).cast('f16'))).rejects.toThrow('a: expected f32, got f16; cast it to f32')
})
