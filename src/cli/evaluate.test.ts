import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { main } from './program.ts'

async function run(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(args, { out: sink('out'), err: sink('err') }), ...written }
}

test('evaluate counts the right answers of a classifier, as a table and for programs', async () => {
  const table = await run('evaluate', 'sticker-classifier-32', '--num', '48')
  expect(table).toMatchObject({ code: 0, err: '' })
  expect(table.out).toMatch(/^48 pictures each +training icons +on held-out backgrounds +held-out icons\nground +\d/)
  const { code, out } = await run('evaluate', 'sticker-classifier-32', '--num', '48', '--json')
  expect(code).toBe(0)
  const { model, num, accuracy } = JSON.parse(out)
  expect([model, num]).toEqual(['sticker-classifier-32', 48])
  expect(table.out).toContain(`${(100 * accuracy.icon.train).toFixed(1)} %`)
})

test('a folder without a recipe, and one that is no run, say what is missing', async () => {
  const desk = mkdtempSync(join(tmpdir(), 'langevin-evaluate-'))
  try {
    expect(await run('evaluate', desk)).toMatchObject({ code: 1, err: expect.stringContaining('has no recipe.json') })
    expect(await run('evaluate', 'none')).toMatchObject({ code: 1, err: expect.stringContaining('sticker-classifier-32') })
    const card = await run('card', desk, '--out', join(desk, 'out'))
    expect(card).toMatchObject({ code: 1, err: expect.stringContaining('expected the output folder of langevin train') })
    expect((await run('card', desk)).code).toBe(2)
  } finally {
    rmSync(desk, { recursive: true })
  }
})
