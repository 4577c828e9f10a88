import { describe, expect, test } from 'vitest'
import { ArgumentError, DTypeError } from '../core/errors.ts'
import * as core from '../core/index.ts'
import { input, parameter } from '../core/index.ts'
import { EngineError } from './engine.ts'
import { NdArray } from './ndarray.ts'
import { compile, evaluate } from './program.ts'
import { Generator } from './random.ts'
import { State } from './state.ts'

const x = input('x', [2])
const double = { y: x.mul(2) }
const ones = NdArray.full([2], 1)
const numbers = (array: NdArray | undefined) => Array.from(array?.data as Float32Array, Number)

describe('feeds', () => {
  test('memory that is shared, a part of a larger array, or resizable', async () => {
    const shared = new Float32Array(new SharedArrayBuffer(8))
    shared.set([3, 4])
    const resizable = new Float32Array(new ArrayBuffer(8, { maxByteLength: 64 }))
    resizable.set([5, 6])
    const part = new Float32Array([0, 7, 8, 0]).subarray(1, 3)
    for (const data of [shared, part, resizable]) {
      const { y } = await evaluate(double, { x: new NdArray(data as Float32Array<ArrayBuffer>, [2], 'f32') })
      expect(numbers(y)).toEqual(Array.from(data, (value) => value * 2))
    }
  })

  test('one that is missing, unknown, or of another shape or dtype', async () => {
    const program = await compile({ outputs: double })
    await expect(program.run()).rejects.toThrow(new ArgumentError('input "x" is missing: expected f32[2]'))
    await expect(program.run({ x: ones, z: ones })).rejects.toThrow('no input "z"; this program takes "x"')
    await expect(program.run({ x: NdArray.full([1, 2], 1) })).rejects.toThrow('input "x": expected f32[2], got f32[1, 2]')
    await expect(program.run({ x: ones.cast('i32') })).rejects.toThrow('input "x": expected f32[2], got i32[2]')
    expect(numbers((await program.run({ x: ones })).y)).toEqual([2, 2])
    const constant = await compile({ outputs: { y: core.ones([2]) } })
    await expect(constant.run({ x: ones })).rejects.toThrow('this program takes none')
  })

  test('bfloat16 is for storage: as an input, an output or an array it is told so', async () => {
    const stored = input('stored', [2], 'bf16')
    const asInput = compile({ outputs: { y: stored.cast('f32') } })
    await expect(asInput).rejects.toThrow(DTypeError)
    await expect(asInput).rejects.toThrow('"stored" is bf16, which the engine neither takes nor gives')
    await expect(compile({ outputs: { y: x.cast('bf16') } })).rejects.toThrow('"y" is bf16')
    await expect(State.from([['w', NdArray.zeros([2], 'bf16')]])).rejects.toThrow('cast to f32')
  })

  test('half precision goes in and out, and through state', async () => {
    const [half, w] = [input('half', [2], 'f16'), parameter('w', [2], 'f16')]
    const state = await State.from([['w', NdArray.from([0.5, 2]).cast('f16')]])
    const program = await compile({ outputs: { y: half.mul(w) }, state, updates: new Map([['w', w.add(w)]]) })
    const feeds = { half: NdArray.from([1, -3]).cast('f16') }
    for (const scale of [1, 2, 4]) {
      const { y } = await program.run(feeds)
      expect(y?.dtype).toBe('f16')
      expect(numbers(y?.cast('f32'))).toEqual([0.5 * scale, -6 * scale])
    }
    expect(numbers((await state.read()).get('w')?.cast('f32'))).toEqual([4, 16])
  })

  test('tensors without elements', async () => {
    const empty = input('empty', [0, 3])
    const outputs = {
      same: empty.mul(2),
      sum: empty.sum(0),
      turned: empty.transpose(),
      square: empty.matmul(empty, { transA: true }),
    }
    const results = await evaluate(outputs, { empty: NdArray.zeros([0, 3]) })
    expect(Object.values(results).map(({ shape }) => shape)).toEqual([[0, 3], [3], [3, 0], [3, 3]])
    expect([numbers(results.sum), numbers(results.square)]).toEqual([[0, 0, 0], Array(9).fill(0)])
  })

  test('whole numbers of 64 bits stay exact', async () => {
    const n = input('n', [1], 'i64')
    const outputs = { bounded: n.clip(0, 2 ** 40 + 1), padded: n.pad([1], [0], 2 ** 53 - 1), sum: n.add(2 ** 24 + 1) }
    const results = await evaluate(outputs, { n: new NdArray(BigInt64Array.of(2n ** 62n), [1], 'i64') })
    expect(results.bounded?.data).toEqual(BigInt64Array.of(2n ** 40n + 1n))
    expect(results.padded?.data).toEqual(BigInt64Array.of(2n ** 53n - 1n, 2n ** 62n))
    expect(results.sum?.data).toEqual(BigInt64Array.of(2n ** 62n + 2n ** 24n + 1n))
  })
})

describe('names', () => {
  test('two tensors, or an input and an output, of one name', async () => {
    const twice = compile({ outputs: { y: x.add(input('x', [2])) } })
    await expect(twice).rejects.toThrow('two tensors of the graph are named "x"; give each its own name')
    await expect(compile({ outputs: { x: x.mul(2) } })).rejects.toThrow('an output and an input of the graph are both named "x"')
    await expect(compile({ outputs: { '': x.mul(2) } })).rejects.toThrow('an output [2] has no name')
    await expect(compile({ outputs: { 'updated:w': x } })).rejects.toThrow('names from "updated:" on are for the state')
    await expect(compile({ outputs: {} })).rejects.toThrow('a graph needs an output')
    expect(() => input('', [2])).toThrow('input of shape [2] has no name')
  })

  test('names that the graph would have chosen itself', async () => {
    const clash = input('Mul_0', [2])
    const { Add_1: y } = await evaluate({ Add_1: clash.mul(2).add(1) }, { Mul_0: ones })
    expect(numbers(y)).toEqual([3, 3])
    const held = parameter('constant_0', [2])
    const weights = new Map([['constant_0', NdArray.from([5, 6])]])
    expect(numbers((await evaluate({ outputs: { y: held.mul(2) }, weights })).y)).toEqual([10, 12])
  })

  test('an output may be an input, a constant, and the same as another; one may be called "outputs"', async () => {
    const y = x.mul(2)
    const results = await evaluate({ same: x, fixed: core.ones([1]), a: y, outputs: y }, { x: ones })
    expect(Object.values(results).map(numbers)).toEqual([[1, 1], [1], [2, 2], [2, 2]])
  })
})

describe('parameters', () => {
  const w = (i: number) => parameter(`w${i}`, [2])

  test('without a value they are named', async () => {
    const one = compile({ outputs: { y: w(0).add(x) } })
    await expect(one).rejects.toThrow(new ArgumentError('parameters without a value: "w0"; give them in weights or in state'))
    const sum = [1, 2, 3, 4, 5, 6].reduce((y, i) => y.add(w(i)), w(0))
    await expect(compile({ outputs: { y: sum } })).rejects.toThrow('"w0", "w1", "w2", "w3", "w4" and 2 more; give them')
  })

  test('of another shape or dtype than their value, in weights, state and updates', async () => {
    const w0 = w(0)
    const y = w0.add(x)
    const weights = new Map([['w0', NdArray.zeros([3])]])
    await expect(compile({ outputs: { y }, weights })).rejects.toThrow('w0: expected [2], got [3]')
    const state = await State.from([['w0', NdArray.zeros([3])]])
    await expect(compile({ outputs: { y }, state })).rejects.toThrow('parameter "w0": f32[2], but the state holds f32[3]')
    const whole = await State.from([['w0', NdArray.zeros([2], 'i32')]])
    await expect(compile({ outputs: { y }, state: whole })).rejects.toThrow('parameter "w0": f32[2], but the state holds i32[2]')
    const right = await State.from([['w0', ones]])
    const compileWith = (name: string, value: core.Tensor) =>
      compile({ outputs: { y }, state: right, updates: new Map([[name, value]]) })
    await expect(compileWith('w0', w0.sum())).rejects.toThrow('update of "w0": f32[], but the state holds f32[2]')
    await expect(compileWith('w1', x)).rejects.toThrow('update of "w1": the state has no such name')
  })

  test('weights of every dtype are cast to their parameter’s', async () => {
    const values = [0.5, -3]
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      const weights = new Map([['w0', NdArray.from(values).cast(dtype)]])
      expect(numbers((await evaluate({ outputs: { y: w(0).mul(2) }, weights })).y)).toEqual([1, -6])
    }
  })
})

test('a deep network has one gradient, whether its weights are fed, fixed or trained', async () => {
  const [layers, width] = [60, 8]
  const shape = [width, width]
  const generator = new Generator(0)
  const values = Array.from({ length: layers }, (_, i) => [`w${i}`, generator.randn(shape).mul(0.5)] as const)
  const feeds = { picture: generator.randn([2, width]) }
  const gradients = (make: (name: string, shape: readonly number[]) => core.Tensor) => {
    const weights = values.map(([name]) => make(name, shape))
    const layer = (h: core.Tensor, w: core.Tensor) =>
      core.layerNorm(h.add(core.linear(h, w).silu().mul(core.linear(h, w).sigmoid())))
    const loss = weights
      .reduce(layer, input('picture', [2, width]))
      .square()
      .mean()
    return Object.fromEntries(core.grad(loss.mul(loss), weights).map((g, i) => [`g${i}`, g]))
  }
  const fed = await evaluate(gradients(input), { ...feeds, ...Object.fromEntries(values) })
  const fixed = await evaluate({ outputs: gradients(parameter), weights: new Map(values) }, feeds)
  const trained = await evaluate({ outputs: gradients(parameter), state: await State.from(values) }, feeds)
  for (const [name, expected] of Object.entries(fed)) {
    const scale = expected.abs().max().item()
    expect(scale, name).toBeGreaterThan(1e-8)
    for (const other of [fixed, trained]) expect(other[name]!.sub(expected).abs().max().item() / scale, name).toBeLessThan(1e-3)
  }
})

describe('running', () => {
  test('one run at a time; the second is told', async () => {
    const program = await compile({ outputs: double })
    const [first, second] = await Promise.allSettled([program.run({ x: ones }), program.run({ x: ones })])
    expect(first.status).toBe('fulfilled')
    expect(second).toMatchObject({ status: 'rejected', reason: { name: 'ArgumentError', message: /^this program is running/ } })
    expect(numbers((await program.run({ x: ones })).y)).toEqual([2, 2])
  })

  test('a released program says so; a release waits for the run, and twice is once', async () => {
    const program = await compile({ outputs: double })
    const run = program.run({ x: ones })
    await program.release()
    expect(numbers((await run).y)).toEqual([2, 2])
    await program.release()
    await expect(program.run({ x: ones })).rejects.toThrow(new ArgumentError('this program was released; compile it again'))
  })

  test('failures within the engine are errors of ours, and leave the state as it was', async () => {
    const [table, index] = [parameter('table', [3, 2]), input('index', [2], 'i64')]
    const state = await State.from([['table', NdArray.full([3, 2], 1)]])
    const updates = new Map([['table', table.add(table.gather(index, 0).sum())]])
    const program = await compile({ outputs: {}, state, updates })
    const run = (...rows: bigint[]) => program.run({ index: new NdArray(BigInt64Array.from(rows), [2], 'i64') })
    await expect(run(0n, 7n)).rejects.toThrow(EngineError)
    await expect(run(0n, 7n)).rejects.toThrow(/^the program failed on cpu: .*out of data bounds, idx=7/)
    expect(numbers((await state.read()).get('table'))).toEqual(Array(6).fill(1))
    await run(0n, 2n)
    expect(numbers((await state.read()).get('table'))).toEqual(Array(6).fill(5))
  })

  test('scatterAdd adds up thousands of updates to the same rows, every time', async () => {
    // The engine's ScatterND loses some here: it adds from several threads at once.
    for (const [count, rows, width] of [
      [100_000, 3, 16],
      [5_000, 1, 1024],
      [300_000, 50, 4],
      [20_000, 3000, 64],
    ] as const) {
      const [updates, index] = [input('updates', [count, width]), input('index', [count], 'i64')]
      const program = await compile({ outputs: { y: core.scatterRows(updates, index, rows) } })
      const places = BigInt64Array.from({ length: count }, (_, i) => BigInt(i % rows))
      const feeds = { updates: NdArray.full([count, width], 1), index: new NdArray(places, [count], 'i64') }
      const expected = NdArray.from(Array.from({ length: rows }, (_, row) => Array(width).fill(Math.ceil((count - row) / rows))))
      for (let run = 0; run < 3; run++) expect((await program.run(feeds)).y?.sub(expected).abs().max().item()).toBe(0)
      await program.release()
    }
  })
})
