import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { savePng } from '../images/index.ts'
import { loadDdpm } from '../pipelines/index.ts'
import { Generator } from '../runtime/random.ts'
import { main } from './program.ts'

const dir = mkdtempSync(join(tmpdir(), 'langevin-train-cli-'))
const recipe = join(dir, 'tiny.json')
const out = join(dir, 'run')

beforeAll(async () => {
  const random = new Generator(0)
  for (let i = 0; i < 4; i++) await savePng(join(dir, `${i}.png`), random.rand([3, 16, 16]))
  const unet = {
    block_out_channels: [8, 16],
    layers_per_block: 1,
    norm_num_groups: 4,
    down_block_types: ['DownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'UpBlock2D'],
    add_attention: false,
  }
  const data = { kind: 'folder', train_data_dir: dir }
  writeFileSync(recipe, JSON.stringify({ recipe: 'ddpm', data, resolution: 16, unet, training: { train_batch_size: 2 } }))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

async function langevin(...args: string[]) {
  const written = { out: '', err: '' }
  const sink = (key: 'out' | 'err') => ({ write: (text: string) => (written[key] += text) })
  return { code: await main(args, { out: sink('out'), err: sink('err') }), ...written }
}

const small = ['--num-validation-images', '4', '--validation-num-inference-steps', '2']
const flags = ['--output-dir', out, '--checkpointing-steps', '2', '--validation-steps', '100', ...small]

test('a recipe file trains on a folder of pictures, resumes, and leaves a model that samples', async () => {
  expect(await langevin('train', recipe, ...flags, '--max-train-steps', '2')).toMatchObject({ code: 0 })
  const { code, out: said, err } = await langevin('train', recipe, ...flags, '--max-train-steps', '4')
  expect([code, said]).toEqual([0, `4 steps, model in ${join(out, 'model')}\n`])
  expect(err).toMatch(/4\/4 · loss \d/)
  expect(readdirSync(out).sort()).toEqual(
    expect.arrayContaining(['checkpoint-2', 'checkpoint-4', 'log.csv', 'logs', 'model', 'samples']),
  )
  const rows = readFileSync(join(out, 'log.csv'), 'utf8').trim().split('\n')
  expect(rows.map((row) => row.split(',')[0])).toEqual(['step', '1', '2', '3', '4'])
  expect(readdirSync(join(out, 'samples'))).toEqual(expect.arrayContaining(['step-4.png']))

  const ddpm = await loadDdpm(join(out, 'model'))
  expect(ddpm.scheduler).toMatchObject({ _class_name: 'DDPMScheduler', beta_schedule: 'squaredcos_cap_v2' })
  await ddpm.release()
})

test('a recipe goes on from a trained model', async () => {
  const file = join(dir, 'finer.json')
  const training = { train_batch_size: 2, max_train_steps: 1, learning_rate: 1e-9, ema_decay: 0, adam_weight_decay: 0 }
  const data = { kind: 'folder', train_data_dir: dir }
  writeFileSync(file, JSON.stringify({ recipe: 'ddpm', data, resolution: 16, pretrained: join(out, 'model'), training }))
  const finer = join(dir, 'finer')
  expect(await langevin('train', file, '--output-dir', finer, ...small)).toMatchObject({ code: 0 })
  const [before, after] = [out, finer].map((run) => readFileSync(join(run, 'model/unet/diffusion_pytorch_model.safetensors')))
  expect(after!.equals(before!)).toBe(true)
})

test('grey pictures, few timesteps, small grids and broken pictures left out', async () => {
  const grey = join(dir, 'grey.json')
  const pictures = mkdtempSync(join(tmpdir(), 'langevin-grey-'))
  for (let i = 0; i < 2; i++) await savePng(join(pictures, `${i}.png`), new Generator(i).rand([3, 16, 16]))
  writeFileSync(join(pictures, 'broken.png'), 'no picture')
  const unet = {
    ...{ in_channels: 1, out_channels: 1, block_out_channels: [8], layers_per_block: 1, norm_num_groups: 4 },
    ...{ down_block_types: ['DownBlock2D'], up_block_types: ['UpBlock2D'], add_attention: false },
  }
  const data = { kind: 'folder', train_data_dir: pictures, crop: 'random', background: '#102030' }
  const content = { recipe: 'ddpm', data, resolution: 8, unet, scheduler: { num_train_timesteps: 20 } }
  const training = { train_batch_size: 2, max_train_steps: 2, num_validation_images: 4 }
  const file = (more: object) => writeFileSync(grey, JSON.stringify({ ...content, data: { ...data, ...more }, training }))
  file({})
  const run = join(dir, 'grey')
  const refused = await langevin('train', grey, '--output-dir', run)
  expect(refused.err).toContain('broken.png: not a picture')
  expect(refused.err).toContain("broken: 'skip'")
  file({ broken: 'skip' })
  expect(await langevin('train', grey, '--output-dir', run)).toMatchObject({ code: 0 })
  const shown = readFileSync(join(run, 'samples', 'step-2.png'))
  expect([shown.readUInt32BE(16), shown.readUInt32BE(20)].every((side) => side < 24)).toBe(true)
  const ddpm = await loadDdpm(join(run, 'model'))
  expect(ddpm.config.in_channels).toBe(1)
  await ddpm.release()
  // The same files with another picture among them are other data.
  await savePng(join(pictures, 'third.png'), new Generator(9).rand([3, 16, 16]))
  const { code, err } = await langevin('train', grey, '--output-dir', run, '--max-train-steps', '3')
  expect([code, err]).toEqual([1, expect.stringMatching(/checkpoint-2 has data [0-9a-f]{16}, this run [0-9a-f]{16}/)])
  rmSync(pictures, { recursive: true })
})

test('a sweep prints which rate and optimizer learn fastest, and writes their losses', async () => {
  const folder = join(dir, 'sweep')
  const tried = ['--sweep-steps', '4', '--sweep-learning-rates', '1e-4,1e-3', '--sweep-optimizers', 'adamw']
  const { code, out: table } = await langevin('train', recipe, '--output-dir', folder, '--sweep', ...tried)
  expect(code).toBe(0)
  expect(table).toMatch(/^optimizer +learning rate +loss at the end +per step\nadamw +0\.0001 .*\nadamw +0\.001 /)
  expect(table.match(/best$/gm)).toHaveLength(1)
  expect(
    readFileSync(join(folder, 'sweep.csv'), 'utf8')
      .split('\n')
      .map((row) => row.split(',')[0]),
  ).toEqual(['step', '1', '2', '3', '4', ''])
  expect(readdirSync(folder).sort()).toEqual(['sweep.csv', 'sweep.png'])
  expect((await langevin('train', recipe, '--sweep', '--sweep-learning-rates', '1e-4,x')).err).toContain(
    'must be numbers with commas',
  )
})

test('what is wrong with a recipe is told, all of it', async () => {
  const broken = join(dir, 'broken.json')
  writeFileSync(broken, JSON.stringify({ recipe: 'ddpm', data: { kind: 'folder' }, colour: 1, training: { lr: 1 } }))
  const { code, err } = await langevin('train', broken)
  expect(code).toBe(2)
  for (const word of ['data.train_data_dir', 'colour', 'lr']) expect(err).toContain(word)
  writeFileSync(broken, JSON.stringify({ recipe: 'ddpm', data: { kind: 'folder', train_data_dir: dir } }))
  expect((await langevin('train', broken)).err).toContain('give either unet or pretrained')
  expect((await langevin('train', 'nothing')).err).toMatch(/no recipe "nothing"; recipes: .*ddpm-stickers-32/)
})
