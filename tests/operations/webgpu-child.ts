/*
 * Run by webgpu-suite.ts in a process of its own, so that a crash is seen and no test with it: computes the cases named in
 * its arguments on WebGPU, then steps of State, and prints a line of JSON for each.
 */
import { input, ones, parameter, type Tensor } from '../../src/core/index.ts'
import { compile, NdArray, type Program, State } from '../../src/runtime/index.ts'
import { allCases, type Case, drawCase, outputsOf, relativeError } from './suite.ts'

/** What the child prints for a case. */
export interface Report {
  readonly name: string
  /** The largest relative error of the result and the gradients. */
  readonly error?: number
  /** Whether the engine ran a part on the CPU. */
  readonly fallsBack?: boolean
  readonly failure?: string
}

async function compileCase(outputs: Record<string, Tensor>): Promise<{ program: Program; fallsBack: boolean }> {
  try {
    return { program: await compile({ outputs }, { device: 'webgpu', fallback: false }), fallsBack: false }
  } catch (error) {
    if (!(error as Error).message.includes('fallback to CPU EP has been explicitly disabled')) throw error
    return { program: await compile({ outputs }, { device: 'webgpu' }), fallsBack: true }
  }
}

async function report(c: Case): Promise<Report> {
  const { xs, y, feeds } = drawCase(c)
  try {
    const { program, fallsBack } = await compileCase(outputsOf(c, xs, y))
    const results = await program.run(feeds)
    await program.release()
    const errors = c.gradients.map((expected, i) => (expected ? relativeError(results[`${c.name}=${i}`]!, expected) : 0))
    return { name: c.name, error: Math.max(relativeError(results[`${c.name}=`]!, c.result), ...errors), fallsBack }
  } catch (error) {
    return { name: c.name, failure: (error as Error).message }
  }
}

const [a, b] = [parameter('a', [3]), parameter('b', [3])]
const twoValues = () =>
  State.from([
    ['a', NdArray.full([3], 1)],
    ['b', NdArray.full([3], 2)],
  ])
const steps = async (state: State, updates: Record<string, Tensor>, count: number, outputs: Record<string, Tensor> = {}) => {
  const program = await compile({ outputs, state, updates: new Map(Object.entries(updates)) }, { device: 'webgpu' })
  const results: Record<string, NdArray>[] = []
  for (let i = 0; i < count; i++) results.push(await program.run())
  await program.release()
  return results
}
const locations = (state: State) => state.names.map((name) => `${name} ${state.get(name).location}`).join(', ')
const contents = async (state: State) =>
  Object.fromEntries([...(await state.read())].map(([name, { data }]) => [name, Array.from(data as Float32Array, Number)]))

/** What states hold after steps on the GPU, by a name that webgpu-suite.ts knows. */
const onStates: Record<string, () => Promise<unknown>> = {
  'state: sums': async () => {
    const state = await twoValues()
    const results = await steps(state, { a: a.add(b) }, 4, { total: a.sum() })
    return [results.map(({ total }) => total?.item()), locations(state), await contents(state)]
  },
  'state: swapped': async () => {
    const state = await twoValues()
    await steps(state, { a: b, b: a }, 3)
    return contents(state)
  },
  'state: one value under two names': async () => {
    const state = await twoValues()
    await steps(state, { a: a.add(b), b: a.add(b) }, 4)
    return contents(state)
  },
  'state: kept, and set to a constant': async () => {
    const state = await twoValues()
    await steps(state, { a, b: ones([3]) }, 3)
    return contents(state)
  },
  'state: an output that is an update too': async () => {
    const state = await twoValues()
    const sum = a.add(b)
    const results = await steps(state, { a: sum }, 3, { sum, before: a })
    return [results.map(({ sum, before }) => [sum?.data[0], before?.data[0]]), await contents(state)]
  },
  'state: whole numbers, truth values, bytes and nothing': async () => {
    const [n, i, t, u, z] = [
      parameter('n', [], 'i64'),
      parameter('i', [2], 'i32'),
      parameter('t', [3], 'bool'),
      parameter('u', [3], 'u8'),
      parameter('z', [0, 3]),
    ]
    const state = await State.from([
      ['n', new NdArray(BigInt64Array.of(5n), [], 'i64')],
      ['i', new NdArray(Int32Array.of(5, -6), [2], 'i32')],
      ['t', new NdArray(Uint8Array.of(1, 0, 1), [3], 'bool')],
      ['u', new NdArray(Uint8Array.of(1, 2, 255), [3], 'u8')],
      ['z', NdArray.zeros([0, 3])],
    ])
    await steps(state, { n: n.add(1), i: i.mul(2), t: t.not(), u: u.slice(0, 0, 3), z: z.add(1) }, 3)
    return contents(state)
  },
  'state: taken over by a second program': async () => {
    const state = await twoValues()
    await steps(state, { a: a.add(b) }, 2)
    const [doubled] = await steps(state, {}, 1, { doubled: a.mul(2) })
    return Array.from(doubled?.doubled?.data as Float32Array)
  },
  'state: a failed run': async () => {
    const state = await twoValues()
    const computation = { outputs: {}, state, updates: new Map([['a', a.add(input('x', [3]))]]) }
    const program = await compile(computation, { device: 'webgpu' })
    await program.run({ x: NdArray.full([3], 1) })
    const failure = await program.run({}).catch((error: Error) => error.message)
    return [failure, await contents(state)]
  },
  'state: fed to the CPU': async () => {
    const state = await twoValues()
    await steps(state, { a: a.add(b) }, 1)
    const program = await compile({ outputs: { y: a.mul(2) }, state })
    return program.run().catch((error: Error) => `${error.name}: ${error.message}`)
  },
}

const print = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`)
for (const name of process.argv.slice(2)) {
  const found = allCases.find((c) => c.name === name)
  if (found) print(await report(found))
  else print({ name, value: await onStates[name]?.() })
}
