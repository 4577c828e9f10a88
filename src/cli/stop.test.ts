import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { savePng } from '../images/index.ts'
import { Generator } from '../runtime/random.ts'
import { main } from './program.ts'

const dir = mkdtempSync(join(tmpdir(), 'langevin-stop-'))
const recipe = join(dir, 'tiny.json')
afterAll(() => rmSync(dir, { recursive: true, force: true }))
beforeAll(async () => {
  for (let i = 0; i < 2; i++) await savePng(join(dir, `${i}.png`), new Generator(i).rand([3, 8, 8]))
  const unet = {
    ...{ block_out_channels: [8], layers_per_block: 1, norm_num_groups: 4, add_attention: false },
    ...{ down_block_types: ['DownBlock2D'], up_block_types: ['UpBlock2D'] },
  }
  const training = { train_batch_size: 1, max_train_steps: 100_000, validation_steps: 100_000, checkpointing_steps: 100_000 }
  const data = { kind: 'folder', train_data_dir: dir }
  writeFileSync(recipe, JSON.stringify({ recipe: 'ddpm', data, resolution: 8, unet, training }))
})

/** A program with what it wrote to standard error, and its end. */
function start(args: readonly string[]) {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let err = ''
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk
  })
  const end = new Promise<{ code: number | null; err: string }>((ended) => child.on('close', (code) => ended({ code, err })))
  return {
    child,
    end,
    until: async (seen: () => boolean) => {
      while (!seen() && child.exitCode === null) await new Promise((later) => setTimeout(later, 100))
    },
  }
}
const rows = (run: string) =>
  existsSync(join(run, 'log.csv')) ? readFileSync(join(run, 'log.csv'), 'utf8').split('\n').length - 2 : 0
const launcher = `
  import { run } from ${JSON.stringify(resolve('bin/node.mjs'))}
  process.exitCode = await run(process.execPath, process.argv.slice(1))`

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s at the launcher saves the step that runs, and says so',
  { timeout: 120_000 },
  async (name) => {
    const run = join(dir, name)
    const train = [resolve('src/cli/main.ts'), 'train', recipe, '--output-dir', run]
    const { child, end, until } = start(['--input-type=module', '-e', launcher, '--', ...train])
    await until(() => rows(run) >= 2)
    child.kill(name)
    const { code, err } = await end
    expect(code).toBe(130)
    const saved = readdirSync(run).find((file) => file.startsWith('checkpoint-')) as string
    expect(err).toContain('stopping after this step')
    expect(err).toContain(`saved as ${join(run, saved)}; the same command goes on from there`)
    expect(rows(run)).toBe(Number(saved.split('-')[1]))
  },
)

test('the launcher gives the signal that ended its child', async () => {
  const { end } = start(['--input-type=module', '-e', launcher, '--', '-e', 'process.kill(process.pid, "SIGKILL")'])
  expect((await end).code).toBe(137)
})

test('a device that the machine lacks is told with what would help, before any work', async () => {
  let err = ''
  const code = await main(['train', recipe, '--device', 'cuda', '--output-dir', join(dir, 'cuda')], {
    out: { write: () => {} },
    err: {
      write: (text: string) => {
        err += text
      },
    },
  })
  // Where the libraries are there the run is refused later, or works.
  if (code === 1) expect(err).toMatch(/^langevin: cuda is not available: .*fetches them/)
  expect(existsSync(join(dir, 'cuda'))).toBe(code !== 1)
})
