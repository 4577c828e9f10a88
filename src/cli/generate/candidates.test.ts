import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { dallePytorchFile, openAIClipFile } from '../../../tests/dalle.ts'
import { maxDifference } from '../../../tests/fixture.ts'
import { decodeImage, decodePixels } from '../../images/index.ts'
import { loadRanker } from '../../pipelines/index.ts'
import { main } from '../program.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-candidates-'))
afterAll(() => rmSync(desk, { recursive: true }))
const model = dallePytorchFile(join(desk, 'dalle'))
const clip = openAIClipFile(join(desk, 'clip'))
const folder = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion', import.meta.url))

async function run(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(args, { out: sink('out'), err: sink('err') }), ...written }
}
const generate = (...args: string[]) => run('generate', 'a cat', '--threads', '1', '--no-draw', ...args)

test('the best of so many candidates are kept, with their scores, and come again by their seeds', {
  timeout: 60_000,
}, async () => {
  const out = join(desk, 'best.png')
  const flags = ['--model', model, '--rank', clip, '--temperature', '2', '--seed', '4', '--out', out]
  const made = await generate(...flags, '--candidates', '9', '--num', '2', '--json')
  expect(made).toMatchObject({ code: 0 })
  const { pictures } = JSON.parse(made.out) as { pictures: Record<string, number | string>[] }
  expect(pictures.map((one) => [one.Candidates, one['Ranked by'], one.Temperature])).toEqual([
    [9, 'clip.safetensors', 2],
    [9, 'clip.safetensors', 2],
  ])
  const scores = pictures.map((one) => one['CLIP score'] as number)
  const again = join(desk, 'again.png')
  const all: number[] = []
  const ranker = await loadRanker(clip, { threads: 1 })
  for (let k = 0; k < 9; k++) {
    await generate(...flags.slice(0, 2), ...flags.slice(4, 6), '--seed', String(4 + k), '--out', again)
    all.push(...(await ranker.score('a cat', (await decodeImage(again)).reshape([1, 3, 8, 8]))))
    if (pictures[0]?.Seed === 4 + k) expect(maxDifference(await decodePixels(again), await decodePixels(out))).toBe(0)
  }
  await ranker.release()
  const best = all.toSorted((a, b) => b - a)
  // Levels of a file are rounded.
  expect(scores.every((score, i) => Math.abs(score - (best[i] as number)) < 5e-3)).toBe(true)
  expect((await run('info', out)).out).toContain(`CLIP score: ${scores[0]}`)
  const from = await run('generate', '--from', out, '--model', model, '--no-draw', '--out', again)
  expect([from.code, from.err]).toEqual([0, expect.not.stringContaining('not followed')])
  expect(maxDifference(await decodePixels(again), await decodePixels(out))).toBe(0)
})

test('a grid has all candidates, the best first; any pipeline of prompts is ranked', { timeout: 60_000 }, async () => {
  const out = join(desk, 'grid.png')
  const flags = ['--rank', clip, '--candidates', '3', '--grid', '--out', out, '--json']
  const grid = JSON.parse(
    (await generate('--model', `${folder}/sd1`, '--steps', '1', '--width', '32', '--height', '32', ...flags)).out,
  )
  const [one] = grid.pictures as [Record<string, string>]
  expect(grid.pictures).toHaveLength(1)
  const scores = one['CLIP scores']?.split(' ').map(Number) as number[]
  expect(scores).toEqual(scores.toSorted((a, b) => b - a))
  expect(one['Candidate order']?.split(' ').map(Number).toSorted()).toEqual([0, 1, 2])
  expect((await decodePixels(out)).shape[1]).toBeGreaterThan(60)
})

test('what cannot be ranked is said before anything is made', async () => {
  expect(await generate('--model', model, '--candidates', '4')).toMatchObject({
    code: 2,
    err: expect.stringContaining('give one with --rank'),
  })
  expect(await generate('--model', model, '--rank', clip)).toMatchObject({
    code: 2,
    err: expect.stringContaining('there is no --candidates'),
  })
  const few = await generate('--model', model, '--rank', clip, '--candidates', '2', '--num', '3')
  expect(few).toMatchObject({ code: 2, err: expect.stringContaining('--num: 3 of 2 candidates') })
  const missing = await generate(
    '--model',
    model,
    '--rank',
    join(desk, 'nowhere'),
    '--candidates',
    '2',
    '--out',
    join(desk, 'x.png'),
  )
  expect(missing.code).toBe(1)
})
