import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { findAdapter } from './adapter.ts'
import type { Case } from './suite.ts'
import type { Report } from './webgpu-child.ts'

const adapter = await findAdapter()
const reason = 'reason' in adapter ? adapter.reason : undefined
if (reason) console.info(`WebGPU is not tested: ${reason}`)

const states: Record<string, unknown> = {
  'state: sums': [[3, 9, 15, 21], 'a gpu-buffer, b cpu', { a: [9, 9, 9], b: [2, 2, 2] }],
  'state: swapped': { a: [2, 2, 2], b: [1, 1, 1] },
  'state: one value under two names': { a: [24, 24, 24], b: [24, 24, 24] },
  'state: kept, and set to a constant': { a: [1, 1, 1], b: [1, 1, 1] },
  'state: an output that is an update too': [
    [
      [3, 1],
      [5, 3],
      [7, 5],
    ],
    { a: [7, 7, 7], b: [2, 2, 2] },
  ],
  'state: whole numbers, truth values, bytes and nothing': { n: [8], i: [40, -48], t: [0, 1, 0], u: [1, 2, 255], z: [] },
  'state: taken over by a second program': [10, 10, 10],
  'state: a failed run': ['input "x" is missing: expected f32[3]', { a: [2, 2, 2], b: [2, 2, 2] }],
  'state: fed to the CPU':
    'EngineError: "a" of the state lies on the GPU and this program runs on cpu: give it State.from(await state.read())',
}

/**
 * What the engine runs on the CPU, in part at least: arithmetic on 64-bit whole numbers (the indices behind the gradient of
 * a gather among them), bytes and truth values that are moved, argmax, rounding, bfloat16.
 */
const fallsBack = new Set([
  ...['neg', 'add', 'sub', 'mul', 'div', 'maximum', 'minimum', 'clip', 'eq', 'lt', 'le', 'gt', 'ge', 'where'].map(
    (op) => `${op}/i64`,
  ),
  ...['sum', 'max', 'min', 'argmax', 'cumsum', 'reshape', 'flip', 'pad'].map((op) => `${op}/i64`),
  ...['argmax/nan', 'upsample/i64', 'matmul/i64 batches first transposed'],
  ...['argmax/last axis', 'argmax/first axis', 'round/matrix', 'round/halves', 'abs/i32'],
  ...['eq/bool', 'transpose/bool', 'pad/bool', 'eq/u8', 'slice/u8', 'concat/u8'],
  ...['f32 to bf16 and back', 'f16 to bf16 and back', 'i64 to f32', 'i64 to i32', 'through i64'].map((kind) => `cast/${kind}`),
  ...[
    'rows with repeats',
    'axis 1',
    'axis 2',
    'axis 2 of four by a matrix',
    'an index without axes',
    'i32 index',
    'negative, few rows',
    'negative, many rows',
  ].map((kind) => `gather/${kind}`),
  ...['rows', 'many repeats', 'numbers', 'i32 index', 'negative', 'onto a tensor'].map((kind) => `scatterAdd/${kind}`),
  'embedding/tokens',
])

/** WGSL asks of sin and cos an absolute error of 2⁻¹¹. */
const toleranceOf = (name: string) => (/^(sin|cos)\//.test(name) ? 5e-4 : 1e-4)

/** Tests that hold the cases on WebGPU to PyTorch's numbers, and State to what it does on the CPU. */
export function describeOnWebgpu(cases: readonly Case[]): void {
  describe.skipIf(reason)(`on WebGPU${reason ? `, skipped: ${reason}` : ''}`, () => {
    const reports = new Map<string, Report & { value?: unknown }>()
    let end = ''

    async function runChild(names: readonly string[], env: NodeJS.ProcessEnv) {
      const program = fileURLToPath(new URL('webgpu-child.ts', import.meta.url))
      const child = spawn(process.execPath, [program, ...names], { env, stdio: ['ignore', 'pipe', 'ignore'] })
      const closed = new Promise<string>((resolve) => child.on('close', (code, signal) => resolve(signal ?? `exit code ${code}`)))
      for await (const line of createInterface(child.stdout)) {
        const report = JSON.parse(line)
        reports.set(report.name, report)
      }
      end = await closed
    }

    beforeAll(async () => {
      if ('reason' in adapter) return
      await runChild([...cases.map(({ name }) => name), ...Object.keys(states)], adapter.env)
    }, 600_000)

    test('the process ends well', () => expect(end).toBe('exit code 0'))

    test.for(cases)('$name', ({ name }, { skip }) => {
      const report = reports.get(name)
      expect(report, `no report: the process ended with ${end}`).toBeDefined()
      if (report?.failure?.includes('f16 but the device does not support it')) skip('this GPU has no half precision')
      expect(report?.failure).toBeUndefined()
      expect(report?.error).toBeLessThan(toleranceOf(name))
      expect(report?.fallsBack, 'runs in part on the CPU').toBe(fallsBack.has(name))
    })

    test.each(Object.entries(states))('%s', (name, expected) => {
      expect(reports.get(name), `no report: the process ended with ${end}`).toBeDefined()
      expect(reports.get(name)?.value).toEqual(expected)
    })
  })
}
