import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { contentOf, f32, temporaryFolder } from '../../tests/checkpoints.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { StaleFileError } from '../runtime/stamp.ts'
import type { FileTensor } from '../runtime/weights.ts'
import { loadConfig, openWeights, saveModel } from './folder.ts'
import { openSafetensors, readTensor, writeSafetensors } from './safetensors.ts'

const prelude = `
  import { writeSync } from 'node:fs'
  import { writeSafetensors } from ${JSON.stringify(new URL('./safetensors.ts', import.meta.url).href)}
  import { saveModel } from ${JSON.stringify(new URL('./folder.ts', import.meta.url).href)}
  import { NdArray } from ${JSON.stringify(new URL('../runtime/ndarray.ts', import.meta.url).href)}
  const path = process.argv[1]
  /** Its elements are asked for when the tensors before it are on their way to the disk, and never come. */
  const stuck = { dtype: 'f32', shape: [9], get data() { writeSync(1, 'middle'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) } }
  const filled = (value) => new NdArray(new Float32Array(500_000).fill(value), [500_000], 'f32')
`
const run = (code: string, path: string) =>
  spawn(process.execPath, ['--input-type=module', '-e', prelude + code, path], { stdio: ['ignore', 'pipe', 'pipe'] })
const kill = async (child: ChildProcess) => {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  expect((await gone)[1]).toBe('SIGKILL')
}
const said = (child: ChildProcess) =>
  Promise.race([
    once(child.stdout!, 'data').then(String),
    once(child.stderr!, 'data').then((text) => Promise.reject(new Error(String(text)))),
  ])

test('killed (−9) in the middle of a save: the old file stands, and the next save works', async () => {
  const folder = temporaryFolder()
  const path = join(folder, 'model.safetensors')
  const old = f32([3], 1, 2, 3)
  writeSafetensors(path, [['a', old]])
  const before = readFileSync(path)
  const child = run(`writeSafetensors(path, [['a', filled(9)], ['b', stuck]])`, path)
  expect(await said(child)).toBe('middle')
  await kill(child)
  expect(readFileSync(path).equals(before)).toBe(true)
  const left = readdirSync(folder).filter((name) => name !== 'model.safetensors')
  expect(left).toHaveLength(1)
  expect(statSync(join(folder, left[0]!)).size).toBeGreaterThan(2_000_000)
  expect(contentOf(readTensor(openSafetensors(path).tensors.get('a')!))).toEqual(contentOf(old))
  writeSafetensors(path, [['a', f32([1], 7)]])
  expect([...readTensor(openSafetensors(path).tensors.get('a')!).data]).toEqual([7])
})

test('killed at any moment of many saves: one whole save stands', async () => {
  const path = join(temporaryFolder(), 'model.safetensors')
  const seen = new Set<number>()
  for (let trial = 0; trial < 8; trial++) {
    const child = run(`for (let i = 0; ; i++) { writeSafetensors(path, [['a', filled(i)]]); writeSync(1, '.') }`, path)
    for (let saves = 0; saves <= trial; saves++) await said(child)
    await wait(trial)
    await kill(child)
    const { data } = readTensor(openSafetensors(path).tensors.get('a')!)
    expect(data.length).toBe(500_000)
    expect(data.every((value) => value === data[0])).toBe(true)
    seen.add(data[0] as number)
  }
  expect(seen.size).toBeGreaterThan(1)
})

test('killed in the middle of saving a model: the old folder stands whole, a new one does not appear', async () => {
  const folder = temporaryFolder()
  const old = join(folder, 'old')
  const tensors = ['a', 'b', 'c'].map((key, i) => [key, f32([1], i)] as const)
  saveModel(old, { _class_name: 'Old' }, tensors, { maxShardSize: 4 })
  for (const dir of [old, join(folder, 'new')]) {
    const code = `saveModel(path, { _class_name: 'New' }, [['a', filled(1)], ['b', filled(2)], ['c', stuck]], { maxShardSize: 36 })`
    const child = run(code, dir)
    expect(await said(child)).toBe('middle')
    await kill(child)
  }
  expect(existsSync(join(folder, 'new'))).toBe(false)
  expect(loadConfig(old)).toEqual({ _class_name: 'Old' })
  const weights = Array.from(openWeights(old), ([key, tensor]) => [key, readTensor(tensor as FileTensor).data[0]])
  expect(weights).toEqual([
    ['a', 0],
    ['b', 1],
    ['c', 2],
  ])
})

test.skipIf(process.platform === 'win32')('no room on the disk: a typed error, the old file, no remains', async () => {
  const folder = temporaryFolder()
  const path = join(folder, 'model.safetensors')
  writeSafetensors(path, [['a', f32([3], 1, 2, 3)]])
  const before = readFileSync(path)
  const code = `try { writeSafetensors(path, [['a', filled(1)]]) } catch (error) { writeSync(1, error.name + ' ' + error.message) }`
  // A limit on the size of files stands for a full disk: the write fails half-way, with EFBIG for ENOSPC.
  const shell = spawn('sh', [
    '-c',
    'ulimit -f 1000; exec "$@"',
    'sh',
    process.execPath,
    '--input-type=module',
    '-e',
    prelude + code,
    path,
  ])
  expect(await said(shell)).toMatch(/^SaveError .*model\.safetensors: cannot be written: EFBIG/)
  await once(shell, 'exit')
  expect(readFileSync(path).equals(before)).toBe(true)
  expect(readdirSync(folder)).toEqual(['model.safetensors'])
})

test('a reader never sees half a file while another process saves', async () => {
  const path = join(temporaryFolder(), 'model.safetensors')
  writeSafetensors(path, [['a', NdArray.zeros([500_000], 'f32')]])
  const child = run(`writeSync(1, 'ready'); for (let i = 1; ; i++) writeSafetensors(path, [['a', filled(i)]])`, path)
  await said(child)
  const seen = new Set<unknown>()
  for (let i = 0; i < 5000 && seen.size < 4; i++) {
    try {
      const { data } = readTensor(openSafetensors(path).tensors.get('a')!)
      expect(data.every((value) => value === data[0])).toBe(true)
      seen.add(data[0])
    } catch (error) {
      // Saved between the opening and the reading: it is told, and nothing of either file is given.
      if (!(error instanceof StaleFileError)) throw error
    }
  }
  await kill(child)
  expect(seen.size).toBe(4)
})
