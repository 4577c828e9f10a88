import { expect, test } from 'vitest'
import { ratios } from './bench/compare.ts'
import { Side } from './bench/process.ts'
import { report } from './bench.ts'

const side = (name: string, ms: number, megabytes: number) => ({ side: name, least: { ms }, maxRss: megabytes * 1e6 })

test('the ratio is the best peer over ours, memory ours over the leanest peer', () => {
  const sides = [side('langevin', 200, 600), side('PyTorch eager', 320, 800), side('PyTorch channels_last', 300, 1000)]
  expect(ratios(sides)).toEqual({ ratio: 1.5, memoryRatio: 0.75 })
  expect(ratios(sides.slice(0, 1))).toEqual({})
})

test('without a peer it is the tightest limit over the time', () => {
  const own = { side: 'langevin', least: { tracing: 10, compiling: 1000 }, maxRss: 1 }
  expect(ratios([own], { tracing: 300, compiling: 2000 })).toEqual({ ratio: 2 })
})

test('the last line of a benchmark is its ratio, and a missing PyTorch says why', () => {
  const sides = [side('langevin', 20, 600)]
  const text = report({ name: 'unet-inference', what: 'one', sides, without: 'no module torch' })
  expect(text.split('\n').at(-1)).toBe('  ratio unknown')
  expect(text).toContain('no module torch')
  expect(report({ name: 'unet-inference', what: 'one', sides, ratio: 1.254 }).split('\n').at(-1)).toBe('  ratio 1.25')
})

test('a side answers each run with a line, and one that breaks off is an error with its last words', async () => {
  const echo = "console.log('{}'); process.stdin.on('data', () => console.log('{\"ms\":1}'))"
  const { side } = await Side.start('echo', process.execPath, ['-e', echo])
  expect([await side.run(), await side.run()]).toEqual([{ ms: 1 }, { ms: 1 }])
  side.stop()
  const dies = Side.start('torch', process.execPath, ['-e', "console.error('no torch here'); process.exit(1)"])
  await expect(dies).rejects.toThrow('torch: no torch here')
  await expect(Side.start('python', '/no/such/python', [])).rejects.toThrow('python: spawn /no/such/python ENOENT')
})
