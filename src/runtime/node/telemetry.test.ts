import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

const src = join(import.meta.dirname, '../..')
const script = `
import { input, parameter } from '${src}/core/index.ts'
import { evaluate, listDevices, NdArray, State } from '${src}/runtime/index.ts'
import { WorkerProgram } from '${src}/runtime/node/worker-program.ts'
const x = { x: NdArray.from([1, 2]) }
const { y } = await evaluate({ y: input('x', [2]).add(1) }, x)
const state = await State.from([['w', NdArray.from([3, 4])]])
const program = await WorkerProgram.compile({ outputs: { z: input('x', [2]).add(parameter('w', [2])) }, state }, {})
const { z } = await program.run(x)
await program.release()
const devices = await listDevices()
console.log([...y.data, ...z.data, devices.length].join(' '))
`

test('a session writes no file in the user’s folders: in this thread, in another one, in a process that tries the GPU', {
  timeout: 120_000,
}, async () => {
  const home = mkdtempSync(join(tmpdir(), 'langevin-home-'))
  onTestFinished(() => rmSync(home, { recursive: true }))
  const { ORT_DISABLE_TELEMETRY: _, LANGEVIN_CACHE: __, ...rest } = process.env
  const folders = { HOME: home, XDG_CACHE_HOME: join(home, 'cache'), XDG_DATA_HOME: join(home, 'data'), LOCALAPPDATA: home }
  const output = await new Promise<string>((resolve) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { env: { ...rest, ...folders } })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        output += chunk
      })
    child.on('close', () => resolve(output))
  })
  expect(output).toBe('2 3 4 6 3\n')
  expect(readdirSync(home, { recursive: true })).toEqual([])
})
