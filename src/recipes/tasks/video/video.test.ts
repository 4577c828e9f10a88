import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { loadPipeline, type Result } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { runTraining } from '../../../training/run.ts'
import { publishRun } from '../../cards/index.ts'
import { measuredAs } from '../../evaluation/measured-as.ts'
import { evaluateOptions } from '../../evaluation/options.ts'
import { parseRecipe, prepare } from '../../index.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-video-recipes-'))
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))

async function started(name: string, recipe: object): Promise<string> {
  const { job } = await prepare(parseRecipe(recipe, name))
  const dir = join(desk, name)
  await job.save(new Map([...job.task.params.initialise(new Generator(0)), ...(job.task.start ?? [])]), dir)
  return dir
}

async function trained(recipe: object, name: string) {
  const { job, config } = await prepare(parseRecipe(recipe, name))
  const dir = join(desk, name)
  await runTraining(job, config, { dir, stream: { write: () => {} }, say: () => {} })
  const read = (file: string) => readFileSync(join(dir, file), 'utf8').trim().split('\n')
  return { dir, model: join(dir, 'model'), log: read('log.csv'), validation: read('validation.csv') }
}

const nouns = ['fox', 'cat', 'frog', 'star', 'apple', 'rocket']
const data = { styles: ['noto'], nouns }
const training = {
  ...{ train_batch_size: 2, max_train_steps: 2, validation_steps: 2, learning_rate: 1e-3, lr_warmup_steps: 1, threads: 1 },
}
const layers = { num_hidden_layers: 2, hidden_size: 16, intermediate_size: 32, num_attention_heads: 2 }
const scenes = { kind: 'scenes', styles: ['noto'] }

test('an autoencoder of films, and a transformer of films of several sizes and lengths, learn; their folder makes films', {
  timeout: 180_000,
}, async () => {
  const vae = await trained(
    {
      recipe: 'video-autoencoder',
      ...{ data, width: 16, height: 16, frames: 5, rate: 4 },
      vae: { block_out_channels: [4, 4, 8], latent_channels: 4 },
      training,
    },
    'vae',
  )
  expect(vae.log[0]).toMatch(/psnr/)
  expect(vae.validation[0]).toBe('step,psnr_combinations,psnr_pictures')
  const card = join(desk, 'card')
  await publishRun(vae.dir, card, { evaluate: evaluateOptions.parse({ num: 2 }), warn: () => {} })
  expect(readFileSync(join(card, 'README.md'), 'utf8')).toMatch(/16 × 16, 4 a second(.|\n)*\| combinations \| \d/)
  expect(measuredAs(card).as).toBe('film-autoencoder')
  const clip = await started('clip', {
    recipe: 'clip',
    ...{ data: scenes, resolution: 16, training },
    tokenizer: { captions: 200, size: 700, max_length: 24 },
    ...{ text: layers, vision: { ...layers, patch_size: 4 }, projection_dim: 8 },
  })
  const t5 = await started('t5', {
    recipe: 't5',
    data: scenes,
    tokenizer: { texts: 500, size: 400, max_length: 16 },
    network: { d_model: 32, d_kv: 8, num_heads: 2, d_ff: 32, num_layers: 1, num_decoder_layers: 1 },
    training,
  })
  const flow = await trained(
    {
      recipe: 'video-flow',
      ...{ data, vae: vae.model, clip, t5, clip_tokens: 20 },
      transformer: { num_layers: 1, num_attention_heads: 2, attention_head_dim: 16 },
      buckets: [
        { width: 16, height: 16, frames: 9, rate: 4, pool: 4 },
        { width: 24, height: 16, frames: 5, rate: 8, pool: 4 },
        { width: 16, height: 16, frames: 1, rate: 8, pool: 4 },
      ],
      given: { first: 0.3, ends: 0.3, start: 0.3 },
      validation_prompts: ['a fox moves left'],
      training: { ...training, train_batch_size: 4, max_train_steps: 3, validation_steps: 3, checkpointing_steps: 3 },
    },
    'flow',
  )
  expect(flow.validation[0]).toBe('step,error_combinations,untold_combinations,error_motions,untold_motions')
  for (const cell of (flow.validation[1] as string).split(',').slice(1)) expect(Number(cell)).toBeGreaterThan(0.1)

  expect(measuredAs(flow.model).as).toBe('films')
  const pipeline = await loadPipeline(flow.model, { threads: 1 })
  const film = async (options: object) => {
    const steps = pipeline.generate({ prompt: 'a fox moves left', steps: 2, ...options })
    let next = await steps.next()
    while (!next.done) next = await steps.next()
    return (next.value as Extract<Result, { type: 'frames' }>).frames
  }
  // The first bucket's shape; and lengths, sizes and aspects that were never trained.
  expect((await film({})).shape).toEqual([1, 9, 3, 16, 16])
  expect((await film({ frames: 12, width: 16, height: 32, num: 2 })).shape).toEqual([2, 12, 3, 32, 16])
  expect((await film({ frames: 1 })).shape).toEqual([1, 1, 3, 16, 16])
  expect(pipeline.plan({ prompt: 'a fox' }).settings).toMatchObject({ Frames: 9, FPS: 4, Size: '16x16' })
  expect(() => pipeline.plan({ prompt: 'a fox', width: 20 })).toThrow('multiples of 8')
  // A given first picture is in the film as the autoencoder has it, whatever the seed; a last one too.
  const image = new NdArray(
    Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => (i * 7) % 256),
    [16, 16, 3],
    'u8',
  )
  const [a, b] = [await film({ image, seed: 1 }), await film({ image, seed: 2 })]
  expect(maxDifference(a.slice(1, 0, 1), b.slice(1, 0, 1))).toBeLessThan(1e-5)
  expect(maxDifference(a.slice(1, 4, 5), b.slice(1, 4, 5))).toBeGreaterThan(1e-3)
  // A film is gone on from: it stands as it was, and what follows is new.
  const more = await film({ extend: a.reshape(a.shape.slice(1)), seed: 3 })
  expect(more.shape).toEqual([1, 9 + 4, 3, 16, 16])
  expect(maxDifference(more.slice(1, 0, 9), a)).toBe(0)
  const loop = await film({ image, last: image, seed: 1 })
  expect(maxDifference(loop, a)).toBeGreaterThan(1e-4)
  await pipeline.release()
})
