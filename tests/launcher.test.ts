import { spawn, spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'

const launcher = pathToFileURL(resolve(import.meta.dirname, '../bin/node.mjs')).href
/** A launcher of the command line below, as `bin/langevin.mjs` is one for an old Node. */
const launching = (program: string) => [
  '--input-type=module',
  '-e',
  `import { run } from '${launcher}'; process.exitCode = await run(process.execPath, ['-e', ${JSON.stringify(program)}])`,
]

test.skipIf(process.platform === 'win32').each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL', 'SIGSEGV'] as const)(
  'a program that %s ends gives 128 and its number',
  (signal) => {
    const { status } = spawnSync(
      process.execPath,
      launching(`process.kill(process.pid, '${signal}'); setTimeout(() => {}, 20000)`),
    )
    expect(status).toBe(128 + constants.signals[signal])
  },
)

test('an exit code is handed on', () => {
  expect(spawnSync(process.execPath, launching('process.exit(7)')).status).toBe(7)
})

test.skipIf(process.platform === 'win32').each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s to the launcher alone reaches the program, which may end in its own way',
  async (signal) => {
    const program = `process.on('${signal}', () => { console.log('heard'); process.exit(3) }); console.log('ready'); setTimeout(() => {}, 20000)`
    const child = spawn(process.execPath, launching(program), { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (part) => {
      output += part
      if (output === 'ready\n') child.kill(signal)
    })
    expect(await new Promise((done) => child.on('close', done))).toBe(3)
    expect(output).toBe('ready\nheard\n')
  },
)
