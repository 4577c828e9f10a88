import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { ArgumentError, LangevinError } from '../core/errors.ts'
import { encodePng } from '../images/encode.ts'
import { withPngText } from '../images/pngtext.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { exitCodeOf, explain, InterruptError, UsageError } from './errors.ts'
import { commandList, main, program } from './program.ts'

async function run(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(args, { out: sink('out'), err: sink('err') }), ...written }
}

test('help and version go to standard output and succeed', async () => {
  expect(await run('--version')).toEqual({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), err: '' })
  for (const args of [[], ['--help'], ['info', '--help']]) {
    const { code, out, err } = await run(...args)
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain('Usage: langevin')
  }
})

test('the list of commands, which loads none of them, says what they say', async () => {
  const silent = { out: { write: () => true }, err: { write: () => true } }
  expect(commandList(silent).helpInformation()).toBe((await program(silent)).helpInformation())
})

test('a wrong command or flag is told once, with exit code 2', async () => {
  for (const args of [['inf'], ['info', '--jsonn'], ['info', 'a', 'b', 'c']]) {
    const { code, out, err } = await run(...args)
    expect([code, out]).toEqual([2, ''])
    expect(err.match(/langevin: /g)).toHaveLength(1)
  }
  expect((await run('inf')).err).toContain('Did you mean info?')
})

test('errors map to exit codes, and only unexpected ones show a stack', () => {
  expect(exitCodeOf(new LangevinError('x'))).toBe(1)
  expect(exitCodeOf(new Error('x'))).toBe(1)
  expect(exitCodeOf(new ArgumentError('x'))).toBe(2)
  expect(exitCodeOf(new UsageError('x'))).toBe(2)
  expect(exitCodeOf(new InterruptError())).toBe(130)
  expect(explain(new LangevinError('the remedy'))).toBe('the remedy')
  expect(explain(new TypeError('x'))).toContain('program.test.ts')
})

test('info prints one JSON document with --json', { timeout: 120_000 }, async () => {
  const { code, out } = await run('info', '--json')
  expect(code).toBe(0)
  const found = JSON.parse(out)
  expect(found.node).toBe(process.version)
  expect(found.packages['onnxruntime-node']).toMatch(/^1\.\d+/)
  expect(found.memory.total).toBeGreaterThan(found.memory.free)
  expect(found.devices.map(({ name }: { name: string }) => name)).toEqual(['cpu', 'webgpu', 'cuda'])
  expect(found.devices[0]).toMatchObject({ available: true, goodFor: expect.stringContaining('everything') })
})

test('info lists every device, what it is good for, and why one is missing', { timeout: 120_000 }, async () => {
  const { code, out, err } = await run('info')
  expect([code, err]).toEqual([0, ''])
  const lines = out.split('\n').filter((line) => line.startsWith('--device '))
  expect(lines.map((line) => line.split(/ +/)[1])).toEqual(['cpu', 'webgpu', 'cuda'])
  expect(lines[0]).toMatch(/\d cores, .*; good for everything/)
  for (const line of lines.slice(1)) expect(line).toMatch(/; good for |not available here \(.+\): .+/)
})

test('info reads the text of a PNG', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'langevin-info-'))
  try {
    const file = join(folder, 'a.png')
    const plain = await encodePng(new NdArray(new Uint8Array(12), [2, 2, 3], 'u8'))
    writeFileSync(file, plain)
    expect((await run('info', file)).out).toBe('no text in this picture\n')
    writeFileSync(file, withPngText(plain, { parameters: 'größer\nSteps: 5', evil: '\u001b[2J' }))
    expect((await run('info', file)).out).toBe('parameters: größer\nSteps: 5\nevil: �[2J\n')
    expect(JSON.parse((await run('info', file, '--json')).out).parameters).toBe('größer\nSteps: 5')
    writeFileSync(file, 'no picture')
    expect(await run('info', file)).toMatchObject({ code: 1, err: `langevin: ${file}: not a PNG\n` })
    expect(await run('info', join(folder, 'none.png'))).toMatchObject({ code: 1, err: expect.stringContaining('ENOENT') })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('the command itself passes arguments and exit codes on', { timeout: 120_000 }, () => {
  const command = fileURLToPath(new URL('../../bin/langevin.mjs', import.meta.url))
  const run = (...args: string[]) => spawnSync(process.execPath, [command, ...args], { encoding: 'utf8' })
  expect(run('info', '--json').stdout).toContain('"node"')
  expect(run('nothing').status).toBe(2)
})
