import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { openSafetensors, writeSafetensors } from '../../checkpoints/safetensors.ts'
import { input } from '../../core/tensor.ts'
import { conv } from '../../nn/layers.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../ndarray.ts'
import { compile, evaluate } from '../program.ts'
import { Generator } from '../random.ts'
import type { Weights } from '../weights.ts'
import { packStore } from './pack-store.ts'
import { packedSoFar } from './packer.ts'

const p = new Params()
const layers = [0, 1].map((i) => conv(p.at('layers', i), 128, 128, 3, { padding: 1 }))
const network = (side: number) => ({ y: layers.reduce((x, layer) => layer(x).silu(), input('x', [1, 128, side, side])) })
const arrays = p.initialise(new Generator(0))
const feeds = (side: number) => ({ x: new Generator(1).randn([1, 128, side, side]) })

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'langevin-packs-'))
  vi.stubEnv('LANGEVIN_CACHE', join(folder, 'cache'))
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true })
  })
})

/** The network's weights in a file whose last change is some time ago. */
function saved(name = 'weights', weights: ReadonlyMap<string, NdArray> = arrays): Weights {
  const file = join(folder, `${name}.safetensors`)
  writeSafetensors(file, weights)
  const then = Date.now() / 1000 - 60
  utimesSync(file, then, then)
  return openSafetensors(file).tensors
}

async function run(weights: Weights, side = 16): Promise<{ y: NdArray; packed: number }> {
  const before = packedSoFar()
  const { y } = await evaluate({ outputs: network(side), weights }, feeds(side))
  await packStore()?.settled()
  return { y: y!, packed: packedSoFar() - before }
}

const packs = () => readdirSync(join(folder, 'cache', 'packed')).filter((name) => name.endsWith('.pack'))
const pathOf = (name: string) => join(folder, 'cache', 'packed', name)

test('a model opened again packs nothing, from another path and for another size of picture neither', async () => {
  const first = await run(saved())
  expect(first.packed).toBe(2)
  expect(packs()).toHaveLength(1)
  for (const again of [await run(saved()), await run(saved('a copy'))]) expect(again).toEqual({ y: first.y, packed: 0 })
  expect((await run(saved(), 32)).packed).toBe(0)
  const other = new Map(arrays).set('layers.1.weight', arrays.get('layers.0.weight')!)
  expect((await run(saved('other', other))).packed).toBe(0)
  expect(packs()).toHaveLength(1)
  const third = new Map(arrays).set('layers.1.weight', arrays.get('layers.1.weight')!.mul(2))
  expect((await run(saved('third', third))).packed).toBe(1)
  expect(packs()).toHaveLength(2)
})

test('another process packs nothing, and has none of the packed weights for itself', async () => {
  const weights = saved()
  const { y } = await run(weights)
  const script = `
    import { readFileSync } from 'node:fs'
    import { openSafetensors } from '${import.meta.dirname}/../../checkpoints/safetensors.ts'
    import { compile } from '${import.meta.dirname}/../program.ts'
    import { packedSoFar } from '${import.meta.dirname}/packer.ts'
    import { Generator } from '${import.meta.dirname}/../random.ts'
    import { Params } from '${import.meta.dirname}/../../nn/params.ts'
    import { conv } from '${import.meta.dirname}/../../nn/layers.ts'
    import { input } from '${import.meta.dirname}/../../core/tensor.ts'
    const p = new Params()
    const layers = [0, 1].map((i) => conv(p.at('layers', i), 128, 128, 3, { padding: 1 }))
    const y = layers.reduce((x, layer) => layer(x).silu(), input('x', [1, 128, 16, 16]))
    const weights = openSafetensors('${join(folder, 'weights.safetensors')}').tensors
    const program = await compile({ outputs: { y }, weights })
    const result = await program.run({ x: new Generator(1).randn([1, 128, 16, 16]) })
    const maps = process.platform === 'linux' ? readFileSync('/proc/self/smaps', 'utf8') : ''
    const ours = maps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).filter((map) => map.includes('.pack'))
    const kilobytes = (name) => ours.map((map) => Number(new RegExp(name + ':\\\\s+(\\\\d+)').exec(map)[1])).reduce((a, b) => a + b, 0)
    console.log(JSON.stringify({ packed: packedSoFar(), sum: result.y.sum().item(), dirty: kilobytes('Private_Dirty'), rss: kilobytes('Rss') }))`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  expect(child.stderr).toBe('')
  const { packed, sum, dirty, rss } = JSON.parse(child.stdout)
  expect({ packed, sum }).toEqual({ packed: 0, sum: y.sum().item() })
  if (process.platform !== 'linux') return
  // Two Winograd filters of 16 numbers for 128 × 128 channels: mapped, and none of it written.
  expect(rss).toBeGreaterThan(2000)
  expect(dirty).toBe(0)
})

test.each(['cut short', 'changed', 'empty', 'not ours'])('a damaged file (%s) is found, and made again', async (how) => {
  const { y } = await run(saved())
  const [name] = packs() as [string]
  const path = pathOf(name)
  const bytes = readFileSync(path)
  if (how === 'cut short') truncateSync(path, bytes.length - 100)
  if (how === 'changed') writeFileSync(path, bytes.fill(255, 5000, 5001))
  if (how === 'empty') writeFileSync(path, '')
  if (how === 'not ours') writeFileSync(path, 'x'.repeat(5000))
  // By another way to the folder, as another process would come upon it.
  symlinkSync(join(folder, 'cache'), join(folder, 'link'))
  vi.stubEnv('LANGEVIN_CACHE', join(folder, 'link'))
  expect(await run(saved())).toEqual({ y, packed: 2 })
  expect(statSync(path).size).toBe(bytes.length)
})

test('the least recently used go where the limit is reached', async () => {
  vi.stubEnv('LANGEVIN_CACHE_LIMIT', '0.003')
  const scaled = (by: number) => new Map([...arrays].map(([key, value]) => [key, value.mul(by)]))
  await run(saved('one'))
  const [first] = packs() as [string]
  await run(saved('two', scaled(2)))
  expect(packs()).toHaveLength(1)
  expect(existsSync(pathOf(first))).toBe(false)
})

test('off: nothing is kept, and a program runs all the same', async () => {
  const { y } = await run(saved())
  rmSync(join(folder, 'cache'), { recursive: true })
  vi.stubEnv('LANGEVIN_CACHE', 'off')
  const off = await run(saved())
  expect(off).toEqual({ y, packed: 2 })
  expect(existsSync(join(folder, 'cache'))).toBe(false)
})

test('a program that fails to compile leaves no part behind', async () => {
  const weights = new Map(saved())
  weights.set('layers.1.weight', { ...weights.get('layers.1.weight')!, offset: 2 ** 40 } as never)
  await expect(compile({ outputs: network(16), weights })).rejects.toThrow('ends before a weight')
  expect(readdirSync(join(folder, 'cache', 'packed')).filter((name) => name !== 'digests')).toEqual([])
})
