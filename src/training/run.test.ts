import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { circleTask } from './circle.fixture.ts'
import { readHistory } from './history.ts'
import { trainingSchema } from './options.ts'
import { type RunIo, runTraining, type TrainingJob } from './run.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-run-'))
afterAll(() => rmSync(desk, { recursive: true, force: true }))

const png = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

interface Given {
  readonly settings?: Record<string, unknown>
  readonly flags?: Record<string, unknown>
  readonly job?: Partial<TrainingJob>
  readonly io?: Partial<RunIo>
}

/** Trains the circle by a recipe; gives the last step and all that was said. */
async function run(dir: string, { settings = {}, flags = {}, job = {}, io = {} }: Given = {}) {
  const said: string[] = []
  const training = { max_train_steps: 8, checkpointing_steps: 4, validation_steps: 4, lr_warmup_steps: 1, ...flags }
  const config = trainingSchema.parse(training)
  const recipe = { recipe: 'circle', data: { kind: 'points', flip: false }, ...settings, training: config }
  const last = await runTraining(
    {
      task: circleTask(),
      recipe,
      preview: async () => png,
      save: (_, folder) => writeFileSync(join(prepared(folder), 'weights'), 'x'),
      ...job,
    },
    config,
    { dir, stream: { write: () => {} }, warn: (text) => said.push(text), say: (text) => said.push(text), ...io },
  )
  return { last, said: said.join('\n') }
}

function prepared(folder: string): string {
  mkdirSync(folder, { recursive: true })
  return folder
}

/** All files below a folder with their bytes. */
function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(folder, name)).isFile())
  return Object.fromEntries(files.sort().map((name) => [name, readFileSync(join(folder, name)).toString('base64')]))
}
const steps = (dir: string) =>
  readFileSync(join(dir, 'log.csv'), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((row) => Number(row.split(',')[0]))

test.each<[string, Given, RegExp]>([
  ['pictures', { settings: { data: { kind: 'points', flip: true } } }, /data\.flip false, this run true/],
  ['prediction type', { settings: { prediction_type: 'sample' } }, /prediction_type none, this run sample/],
  ['batch', { flags: { train_batch_size: 3 } }, /train_batch_size 64, this run 3/],
  ['optimizer', { flags: { optimizer: 'muon' } }, /optimizer\.name adamw, this run muon/],
])('a folder with a run of other %s is refused, and nothing in it changes', async (name, given, message) => {
  const dir = join(desk, `other ${name}`)
  await run(dir)
  const before = contents(dir)
  for (const max_train_steps of [8, 12])
    await expect(run(dir, { ...given, flags: { ...given.flags, max_train_steps } })).rejects.toThrow(message)
  expect(contents(dir)).toEqual(before)
})

test('a checkpoint without a recipe is held to the one in its folder', async () => {
  const dir = join(desk, 'older')
  await run(dir, { flags: { optimizer: 'muon', checkpoints_total_limit: 1 } })
  const file = join(dir, 'checkpoint-8', 'run.json')
  const { step, seed, accumulation, ema, parameters } = JSON.parse(readFileSync(file, 'utf8'))
  writeFileSync(file, JSON.stringify({ step, seed, accumulation, ema, parameters }))
  await expect(run(dir, { flags: { optimizer: 'muon', adam_beta1: 0.8 } })).rejects.toThrow(/adam_beta1 0\.9, this run 0\.8/)
  await expect(run(dir)).rejects.toThrow(/optimizer muon, this run adamw/)
  expect((await run(dir, { flags: { optimizer: 'muon', max_train_steps: 9 } })).last).toBe(9)
})

test('rates and length may change: the history says from which step on', async () => {
  const dir = join(desk, 'rates')
  await run(dir)
  const { said } = await run(dir, { flags: { learning_rate: 1e-3, max_train_steps: 10 } })
  expect(said).toBe(`${dir}: goes on from checkpoint-8, 2 steps to go`)
  expect(readHistory(dir).map(({ from }) => from)).toEqual([0, 8])
})

test('a finished run keeps the recipe that made it', async () => {
  const dir = join(desk, 'finished')
  await run(dir)
  const made = readFileSync(join(dir, 'model', 'recipe.json'), 'utf8')
  const history = readHistory(dir)
  const { said } = await run(dir, { flags: { learning_rate: 1e-3 } })
  expect(said).toContain('has all 8 steps; only the model is written')
  expect(readFileSync(join(dir, 'model', 'recipe.json'), 'utf8')).toBe(made)
  expect(readHistory(dir)).toEqual(history)
})

test('a preview or a validation that fails is told, and costs no model', async () => {
  const dir = join(desk, 'no preview')
  const fail = async () => {
    throw new Error('too few timesteps')
  }
  const { last, said } = await run(dir, { job: { preview: fail, validation: { names: ['x'], measure: fail } } })
  expect(last).toBe(8)
  expect(said).toContain('step 4: no grid of samples: too few timesteps')
  expect(said).toContain('step 8: no validation: too few timesteps')
  expect(existsSync(join(dir, 'model', 'weights'))).toBe(true)
})

test('a step that is saved has its row in the log and its grid', async () => {
  const dir = join(desk, 'in order')
  const found: unknown[] = []
  const job = circleTask()
  const task: TrainingJob['task'] = {
    ...job,
    batch(generator, step) {
      if (step === 5 || step === 9)
        found.push([
          steps(dir).at(-1),
          existsSync(join(dir, `samples/step-${step - 1}.png`)),
          existsSync(join(dir, `checkpoint-${step - 1}`)),
        ])
      return job.batch(generator, step)
    },
  }
  await run(dir, { job: { task }, flags: { max_train_steps: 9 } })
  expect(found).toEqual([
    [4, true, true],
    [8, true, true],
  ])
  // An error of the log's own saves what was reached.
  const broken = join(desk, 'broken')
  const stream = {
    write() {
      if (existsSync(join(broken, 'log.csv')) && steps(broken).length > 0) throw new Error('the terminal is gone')
    },
  }
  await expect(run(broken, { io: { stream } })).rejects.toThrow('the terminal is gone')
  expect(existsSync(join(broken, 'checkpoint-1'))).toBe(true)
  expect(existsSync(join(broken, 'run.lock'))).toBe(false)
})

test('a log with other columns is refused before anything is written', async () => {
  const dir = join(desk, 'columns')
  await run(dir)
  writeFileSync(join(dir, 'log.csv'), 'step,other\n')
  const before = contents(dir)
  await expect(run(dir, { flags: { max_train_steps: 9, learning_rate: 1e-3 } })).rejects.toThrow('the columns must be')
  expect(contents(dir)).toEqual(before)
})
