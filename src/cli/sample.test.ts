import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { fixture, maxDifference } from '../../tests/fixture.ts'
import { decodePixels, readPngText } from '../images/index.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { main } from './program.ts'

const folder = fileURLToPath(new URL('../../parity/fixtures/ddpm', import.meta.url))
const desk = mkdtempSync(join(tmpdir(), 'langevin-sample-'))
afterAll(() => rmSync(desk, { recursive: true }))

async function run(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(['sample', ...args], { out: sink('out'), err: sink('err') }), ...written }
}

test('writes a grid with its settings and prints its path; the same seed gives the same bytes', async () => {
  const [first, again, other] = ['a', 'b', 'c'].map((name) => join(desk, `${name}.png`)) as [string, string, string]
  const settings = ['--num', '3', '--steps', '20', '--scheduler', 'ddim', '--columns', '3']
  const { code, out, err } = await run(folder, ...settings, '--out', first)
  expect([code, out]).toEqual([0, `${first}\n`])
  expect(err).toContain('20/20')
  await run(folder, ...settings, '--out', again)
  await run(folder, ...settings, '--out', other, '--seed', '1')
  expect(readFileSync(again)).toEqual(readFileSync(first))
  expect(readFileSync(other)).not.toEqual(readFileSync(first))

  expect(Object.fromEntries(readPngText(readFileSync(first)))).toEqual({
    Software: expect.stringMatching(/^langevin \d/),
    parameters: 'Steps: 20, Sampler: DDIMScheduler, Eta: 0, Seed: 0, Size: 16x16, Num: 3, Model: ddpm',
  })
  const grid = await decodePixels(readFileSync(first))
  expect(grid.shape).toEqual([20, 56, 3])
  const reference = fixture('ddpm/pictures').tensors.get('ddim.0') as NdArray
  for (let i = 0; i < 3; i++) {
    const tile = grid.slice(0, 2, 18).slice(1, 2 + 18 * i, 18 + 18 * i)
    expect(maxDifference(tile, reference.row(i))).toBeLessThanOrEqual(1)
  }
})

test('a model with linear betas that predicts noise is sampled as a score SDE', async () => {
  const file = join(desk, 'sde.png')
  const { code, out } = await run(folder, '--num', '1', '--scheduler', 'sde', '--steps', '3', '--out', file, '--json')
  expect([code, JSON.parse(out)]).toEqual([0, expect.objectContaining({ sampler: 'reverse SDE', steps: 3, size: '16x16' })])
  expect(await run(folder, '--scheduler', 'ode', '--steps', '3', '--out', file)).toMatchObject({
    code: 2,
    err: expect.stringContaining('ode chooses its own'),
  })
  const { code: fault, err } = await run('ddpm-stickers-32', '--scheduler', 'pc', '--out', file)
  expect([fault, err]).toEqual([2, expect.stringContaining('a score SDE has linear betas and predicts epsilon or v_prediction')])
})

test('--json tells what was made', async () => {
  const file = join(desk, 'd.png')
  const { out } = await run(folder, '--num', '1', '--steps', '3', '--seed', '5', '--out', file, '--json')
  expect(JSON.parse(out)).toEqual({
    file,
    steps: 3,
    sampler: 'DDPMScheduler',
    seed: 5,
    size: '16x16',
    num: 1,
    model: 'ddpm',
    seconds: expect.any(Number),
  })
})

test('faults are told in a line, before anything is sampled', async () => {
  const faults: [string[], number, string][] = [
    [['no-such-model'], 1, 'no-such-model: no such folder, and no bundled model'],
    [[desk], 1, 'has no model_index.json'],
    [[folder, '--out', join(desk, 'nowhere', 'a.png')], 2, '--out: no such folder'],
    [[folder, '--out', join(desk, 'a.jpg')], 2, '--out: must end in .png'],
    [[folder, '--num', '0'], 2, '--num'],
    [[folder, '--eta', '1'], 2, 'ddim'],
    [[folder, '--steps', '2000'], 2, '1000'],
  ]
  for (const [args, code, message] of faults) {
    const found = await run('--out', join(desk, 'fault.png'), ...args)
    expect([found.code, found.out]).toEqual([code, ''])
    expect(found.err).toContain(message)
  }
})
