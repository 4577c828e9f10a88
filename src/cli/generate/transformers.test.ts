import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { transformerCheckpoint, transformerPictures } from '../../../tests/transformers.ts'
import { openSafetensors, readTensor, writeSafetensors } from '../../checkpoints/index.ts'
import { decodePixels } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { main } from '../program.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-generate-transformers-'))
afterAll(() => rmSync(desk, { recursive: true }))

async function run(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(args, { out: sink('out'), err: sink('err') }), ...written }
}
const levels = async (file: string, name: string): Promise<number> => {
  const expected = transformerPictures.tensors.get(name) as NdArray
  return (await decodePixels(file)).cast('f32').sub(expected.cast('f32')).abs().max().item()
}

test('pictures of classes, without a prompt', { timeout: 60_000 }, async () => {
  const model = transformerCheckpoint('dit')
  const out = join(desk, 'class.png')
  const flags = ['--model', model, '--threads', '1', '--no-draw', '--out', out]
  const labels = ['--label', 'toilet paper', '--label', 'crane', '--label', '7']
  const made = await run('generate', ...labels, '--steps', '4', '--guidance', '2.5', '--seed', '3', ...flags)
  expect([made.code, made.out.trim().split('\n').length]).toEqual([0, 3])
  for (const k of [0, 1, 2]) {
    const file = k === 0 ? out : join(desk, `class-${k}.png`)
    expect(await levels(file, `dit several.${k}`)).toBeLessThanOrEqual(1)
  }
  expect((await run('info', out)).out).toMatch(
    /Steps: 4, Sampler: DDIMScheduler, CFG scale: 2\.5, Seed: 3, Size: 32x32, Model: dit, Class: "?toilet paper \(999\); crane \(517\); 7/,
  )
  const grid = await run('generate', '--label', '1', '--label', '2', '--grid', '--steps', '1', ...flags)
  expect([grid.code, grid.out]).toEqual([0, `${out}\n`])
  expect((await decodePixels(out)).shape[1]).toBeGreaterThan(60)
  expect(await run('generate', 'a fox', '--label', '1', ...flags)).toMatchObject({
    code: 2,
    err: expect.stringMatching(/--prompt: no option/),
  })
  expect(await run('generate', ...flags)).toMatchObject({ code: 2, err: expect.stringMatching(/--label/) })
  expect((await run('generate', '--label', 'unicorn', ...flags)).err).toMatch(
    /"unicorn" is no class; give a number from 0 to 999/,
  )
})

test('a prompt for PixArt, cleaned or as written', { timeout: 60_000 }, async () => {
  const prompt = 'A photo of a Fox (oil painting) in the snow, see www.foxes.com #123'
  const out = join(desk, 'fox.png')
  const size = ['--width', '64', '--height', '48', '--seed', '0', '--threads', '1', '--no-draw', '--out', out]
  const model = transformerCheckpoint('pixart-sigma')
  expect(await run('generate', prompt, '--model', model, '--steps', '5', ...size)).toMatchObject({ code: 0 })
  expect(await levels(out, 'sigma.0')).toBeLessThanOrEqual(1)
  expect(await run('generate', prompt, '--model', model, '--no-clean', '--steps', '4', '--low-memory', ...size)).toMatchObject({
    code: 0,
  })
  expect(await levels(out, 'sigma as written.0')).toBeLessThanOrEqual(1)
  const short = ['--clean', '--max-length', '8', '--steps', '4', '--seed', '0', '--width', '48', '--height', '64']
  expect(await run('generate', prompt, '--model', model, ...short, '--no-draw', '--out', out)).toMatchObject({ code: 0 })
  expect(await levels(out, 'sigma short.0')).toBeLessThanOrEqual(1)
})

test.each([
  ['dit', ['--label', '1'], 'transformer'],
  ['pixart-sigma', ['a fox', '--width', '32', '--height', '32'], 'text_encoder'],
] as const)(
  'a folder in shards makes the same picture, and what is wrong with a shard is one error: %s',
  { timeout: 60_000 },
  async (name, asked, part) => {
    const model = transformerCheckpoint(name)
    const folder = join(model, part)
    const file = readdirSync(folder).find((one) => one.endsWith('.safetensors')) as string
    const stem = file.slice(0, -'.safetensors'.length)
    const make = (out: string) =>
      run('generate', ...asked, '--steps', '1', '--model', model, '--threads', '1', '--no-draw', '--out', out)
    const [whole, sharded] = [join(desk, `${name}-whole.png`), join(desk, `${name}-sharded.png`)]
    expect((await make(whole)).code).toBe(0)
    const tensors = [...openSafetensors(join(folder, file)).tensors].map(
      ([key, one]) => [key, one instanceof NdArray ? one : readTensor(one)] as const,
    )
    const shards = [0, 1].map((i) => `${stem}-0000${i + 1}-of-00002.safetensors`) as [string, string]
    const shardOf = (i: number) => shards[i % 2] as string
    for (const shard of shards)
      writeSafetensors(
        join(folder, shard),
        tensors.filter((_, i) => shardOf(i) === shard),
      )
    rmSync(join(folder, file))
    const weight_map = Object.fromEntries(tensors.map(([key], i) => [key, shardOf(i)]))
    writeFileSync(join(folder, `${file}.index.json`), JSON.stringify({ metadata: {}, weight_map }))
    expect((await make(sharded)).code).toBe(0)
    expect(
      (await decodePixels(sharded))
        .cast('f32')
        .sub((await decodePixels(whole)).cast('f32'))
        .abs()
        .max()
        .item(),
    ).toBe(0)

    truncateSync(join(folder, shards[1]), 4000)
    expect(await make(sharded)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^langevin: .*00002-of-00002.*cut short\n$/s),
    })
    rmSync(join(folder, shards[1]))
    expect(await make(sharded)).toMatchObject({ code: 1, err: expect.stringMatching(/index\.json: .*1 shards missing/s) })
  },
)
