import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FolderError, loadConfig, openWeights } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import { decodePixels } from '../../images/index.ts'
import { runTraining } from '../../training/run.ts'
import { drawnPositions } from '../evaluation/drawn.ts'
import { evaluateOptions } from '../evaluation/options.ts'
import { distanceTable, inMarkdown, likelihoodTable } from '../evaluation/tables.ts'
import { parseRecipe, prepare } from '../open.ts'
import { runTable, wrapped } from './common.ts'
import { publishRun } from './index.ts'
import { parseLog, readRun, secondsOf } from './run.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-cards-'))
afterAll(() => rmSync(desk, { recursive: true }))

const shared = { data: { kind: 'stickers', styles: ['flat'], categories: ['Food & Drink'], scale: [0.9, 1] }, resolution: 8 }
const training = { train_batch_size: 4, max_train_steps: 3, lr_warmup_steps: 1, ema_decay: 0.5 }
const classifier = { recipe: 'classifier', ...shared, network: { block_out_channels: [8, 12], norm_num_groups: 4 }, training }
const ddpm = {
  recipe: 'ddpm',
  ...shared,
  unet: {
    block_out_channels: [8, 8],
    layers_per_block: 1,
    norm_num_groups: 4,
    down_block_types: ['DownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'UpBlock2D'],
  },
  training,
}
const { scheduler: _, ...score } = { ...ddpm, recipe: 'score', scheduler: undefined, sde: { sampling_eps: 0.01 } }
const evaluate = evaluateOptions.parse({ num: 16, steps: 2, likelihood: 3, classifier: join(desk, 'tiny-classifier') })

/** More threads would wait for each other where other tests run. */
const engine = { threads: 1 }

async function train(recipe: object, name: string): Promise<string> {
  const { job, config } = await prepare(parseRecipe(recipe, name))
  const dir = join(desk, 'runs', name)
  const { preview: _, ...unseen } = job
  await runTraining(unseen, config, { dir, stream: { write: () => {} } })
  return dir
}
const readText = (...path: string[]) => readFileSync(join(desk, ...path), 'utf8')

beforeAll(async () => {
  await publishRun(await train(classifier, 'classifier'), join(desk, 'tiny-classifier'), { evaluate, engine })
  await publishRun(await train(ddpm, 'ddpm'), join(desk, 'tiny-ddpm'), { evaluate, engine, note: 'beside other work' })
  await publishRun(await train(score, 'score'), join(desk, 'tiny-score'), { evaluate, engine })
}, 240_000)

test('a run becomes a folder with its averaged weights as float16', () => {
  const { weights, step } = readRun(join(desk, 'runs', 'ddpm'), () => {})
  const stored = openWeights(join(desk, 'tiny-ddpm', 'unet'))
  expect(step).toBe(3)
  expect([...stored.keys()].sort()).toEqual([...weights.keys()].sort())
  expect(new Set([...stored.values()].map(({ dtype }) => dtype))).toEqual(new Set(['f16']))
  const average = readText('runs', 'ddpm', 'checkpoint-3', 'run.json')
  expect(JSON.parse(average).ema).toBe(0.5)
  expect(loadConfig(join(desk, 'tiny-classifier')).heads).toMatchObject({ ground: expect.arrayContaining(['teal']) })
})

test.each(['tiny-ddpm', 'tiny-score', 'tiny-classifier'])('the card of %s states what was done, without gaps', (name) => {
  const card = readText(name, 'README.md')
  expect(card).toContain(`# ${name}`)
  for (const fact of [
    '© Microsoft Corporation',
    '119 icons',
    '11 more icons',
    'size (90–100 % of the side)',
    '3, 12 pictures',
    'decay 0.5',
    process.version,
  ])
    expect(card).toContain(fact)
  expect(card).not.toMatch(/undefined|NaN|\[object|null/)
  const links = [...card.matchAll(/\]\((?!https:)([^)]+)\)/g)].map(([, path]) => path as string)
  expect(links.length).toBeGreaterThan(2)
  for (const path of links) expect([path, existsSync(join(desk, name, path))]).toEqual([path, true])
})

test('the card of a model that samples shows what was measured and sampled', async () => {
  const card = readText('tiny-ddpm', 'README.md')
  expect(card).toContain(inMarkdown(distanceTable(JSON.parse(readText('tiny-ddpm', 'evaluation.json')))))
  expect(card).toContain('beside other work')
  const size = async (name: string) =>
    (await decodePixels(readFileSync(join(desk, 'tiny-ddpm', 'pictures', `${name}.png`)))).shape.slice(0, 2)
  const cells = (n: number) => n * 16 + (n + 1) * 4
  expect([await size('samples'), await size('nearest')]).toEqual([
    [cells(2), cells(8)],
    [cells(4), cells(8)],
  ])
  expect(await size('loss')).toEqual([900, 1600])
})

test('the card of a score SDE has its samplers and its bits per dimension', async () => {
  const card = readText('tiny-score', 'README.md')
  const evaluation = JSON.parse(readText('tiny-score', 'evaluation.json'))
  const { num, end, heldOut, training } = evaluation.likelihood
  expect([num, end]).toEqual([3, 0.01])
  for (const { flow, bound, pixelwise } of [heldOut, training])
    for (const { mean, error } of [flow, bound, pixelwise]) {
      // Three steps teach nothing: more than the eight bits of even chances is right, wild numbers are not.
      expect(mean).toBeGreaterThan(0)
      expect(mean).toBeLessThan(30)
      expect(error).toBeGreaterThan(0)
    }
  expect(card).toContain(inMarkdown(likelihoodTable('tiny-score', evaluation.likelihood)))
  for (const sampler of ['pc', 'sde', 'ode']) {
    expect(card).toContain(`--scheduler ${sampler} ${sampler === 'ode' ? '' : '--steps 2 '}--seed 0\n`)
    const { shape } = await decodePixels(readFileSync(join(desk, 'tiny-score', 'pictures', `samples-${sampler}.png`)))
    expect(shape.slice(0, 2)).toEqual([2 * 16 + 3 * 4, 8 * 16 + 9 * 4])
  }
  expect(readText('tiny-ddpm', 'README.md')).not.toContain('probability-flow')
})

test('a run that went on by another recipe: the table counts the pictures of both, and says what was different', async () => {
  const dir = await train({ ...ddpm, training: { ...training, max_train_steps: 5, train_batch_size: 6 } }, 'ddpm-on')
  const second = JSON.parse(readText('runs', 'ddpm-on', 'recipe.json'))
  const { unet: _, ...rest } = second
  const first = {
    ...rest,
    scheduler: { num_train_timesteps: 50 },
    training: { ...rest.training, train_batch_size: 4, threads: 1 },
  }
  writeFileSync(
    join(dir, 'history.json'),
    JSON.stringify({ stretches: [first, second].map((recipe, i) => ({ from: 3 * i, recipe })) }),
  )
  const rows = new Map(runTable({ ...readRun(dir, () => {}), parameters: 7 }).map(([name, fact]) => [name, fact]))
  expect(rows.get('steps')).toBe('5, 24 pictures')
  expect(rows.get('batch')).toBe('6')
  expect(rows.get('steps 1 to 3')).toBe('scheduler.num_train_timesteps 50, training.train_batch_size 4, without unet')
  expect(rows.get('time')).not.toContain('for the last')
})

test('what training drew is what the evaluation takes it to have drawn', { timeout: 60_000 }, async () => {
  const { job, config } = await prepare(
    parseRecipe({ ...ddpm, training: { ...training, seed: 5, gradient_accumulation_steps: 2 } }, 'ddpm'),
  )
  const seen: number[] = []
  const task: typeof job.task = {
    ...job.task,
    batch(generator, step) {
      const [bits, own] = [generator.bits.bind(generator), [] as number[]]
      generator.bits = () => {
        const drawn = bits()
        if (own.length < 4) own.push(drawn)
        if (own.length === 4) seen.push(...own.splice(0, 4, NaN, NaN, NaN, NaN, NaN))
        return drawn
      }
      return job.task.batch(generator, step)
    },
  }
  const { preview: _, ...unseen } = job
  await runTraining({ ...unseen, task }, config, { dir: join(desk, 'drawn'), stream: { write: () => {} } })
  const { positions, all } = drawnPositions(config, 3, 1000)
  expect(all).toBe(24)
  expect(positions).toEqual(seen)
  expect(drawnPositions(config, 3, 6).positions).toEqual(seen.filter((_, i) => i % 4 === 0))
})

test('a published model is measured again in its folder, without the run: the same card', { timeout: 60_000 }, async () => {
  const dir = join(desk, 'tiny-classifier')
  const card = readText('tiny-classifier', 'README.md')
  writeFileSync(join(dir, 'README.md'), 'old')
  await publishRun(dir, dir, { evaluate, engine })
  expect(readText('tiny-classifier', 'README.md')).toBe(card)
  await publishRun(dir, dir, { evaluate, engine, note: 'on another day' })
  expect(readText('tiny-classifier', 'README.md')).toContain('; on another day |')
  await expect(publishRun(dir, join(desk, 'elsewhere'), { evaluate })).rejects.toThrow(
    'its card is written anew in its own folder',
  )
})

test('what is no run of stickers is refused', async () => {
  await expect(publishRun(desk, join(desk, 'a'), { evaluate })).rejects.toThrow(FolderError)
  const folder = join(desk, 'runs', 'ddpm')
  const kept = readText('runs', 'ddpm', 'recipe.json')
  const other = { ...JSON.parse(kept), data: { kind: 'folder', train_data_dir: join(desk, 'tiny-ddpm', 'pictures') } }
  writeFileSync(join(folder, 'recipe.json'), JSON.stringify(other))
  await expect(publishRun(folder, join(desk, 'a'), { evaluate })).rejects.toThrow(ArgumentError)
  writeFileSync(join(folder, 'recipe.json'), kept)
})

test('a log is read by its columns', () => {
  const log = parseLog('step,loss,seconds\n1,0.5,2\n2,,3\n3,0.25,4\n')
  expect(log[1]).toEqual({ step: 2, loss: NaN, seconds: 3 })
  expect(secondsOf(log)).toBe(9)
})

test('long lines are broken between words, but for tables, pictures and code', () => {
  const text =
    'a word and another word and more\n\n| a long row of a table |\n![a long name of a picture](p.png)\n- an item that is long\n'
  expect(wrapped(text, 12)).toBe(
    'a word and\nanother word\nand more\n\n| a long row of a table |\n![a long name of a picture](p.png)\n- an item\n  that is\n  long\n',
  )
  const code = '```sh\na command that is long\n```\n'
  expect(wrapped(code, 12)).toBe(code)
})
