import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { saveModel } from '../../../checkpoints/index.ts'
import { main } from '../../../cli/program.ts'
import { savePng } from '../../../images/index.ts'
import { autoencoderKL, autoencoderKLConfig } from '../../../models/vae/index.ts'
import { Params } from '../../../nn/params.ts'
import { finish, loadPipeline } from '../../../pipelines/index.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { runTraining } from '../../../training/run.ts'
import { parseRecipe, prepare } from '../../index.ts'
import { clipFolder } from './clip.fixture.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-unclip-decoder-'))
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))

function vaeFolder(): string {
  const fields = {
    ...{ sample_size: 16, block_out_channels: [8, 8], norm_num_groups: 4 },
    down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
    up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
  }
  const p = new Params()
  const config = autoencoderKLConfig(fields)
  autoencoderKL(p, config)
  const dir = join(desk, 'vae')
  saveModel(dir, { _class_name: 'AutoencoderKL', ...config }, p.initialise(new Generator(2)))
  return dir
}

const shared = {
  data: { kind: 'scenes', styles: ['noto'], nouns: ['fox', 'star', 'donut'], lattice: { cells: 4, sides: [3, 4] } },
  clip: clipFolder(desk, 20),
  pool: 16,
}
const training = {
  ...{ train_batch_size: 4, max_train_steps: 3, validation_steps: 100, learning_rate: 0.01, lr_warmup_steps: 1, threads: 1 },
  ema_decay: 0,
}
const prior = { num_layers: 1, num_attention_heads: 2, attention_head_dim: 8 }
const unet = {
  ...{ block_out_channels: [8, 16], layers_per_block: 1, norm_num_groups: 4, attention_head_dim: 2, cross_attention_dim: 20 },
  down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D'],
  up_block_types: ['CrossAttnUpBlock2D', 'UpBlock2D'],
}
const decoder = { recipe: 'unclip-decoder', ...shared, resolution: 16, vae: vaeFolder(), decoder: unet }

async function trained(name: string, recipe: object): Promise<string> {
  const { job, config } = await prepare(parseRecipe({ ...recipe, training }, name))
  const dir = join(desk, name)
  await runTraining(job, config, { dir, stream: { write: () => {} } })
  return join(dir, 'model')
}

test('a decoder in latents draws for prompts by either prior, and changes pictures by their embeddings', {
  timeout: 240_000,
}, async () => {
  const diffusion = await trained('diffusion', { recipe: 'unclip-prior', ...shared, prior })
  const sized = { ...prior, components: 4, buckets: 8, likeness_buckets: 4 }
  const codes = await trained('codes', { recipe: 'unclip-ar-prior', ...shared, prior: sized })
  const model = await trained('decoder', { ...decoder, prior: diffusion })
  const index = JSON.parse(readFileSync(join(model, 'model_index.json'), 'utf8'))
  expect([index._class_name, index.prior]).toEqual(['LatentUnCLIPPipeline', ['diffusers', 'PriorTransformer']])

  const pipeline = await loadPipeline(model, { threads: 1 })
  const pictures = async (options: Record<string, unknown>, from = pipeline) => {
    const made = await finish(from.generate({ steps: 2, seed: 1, ...options }))
    if (made.type !== 'pictures') throw new Error(made.type)
    return made.pictures
  }
  const first = await pictures({ prompt: 'a fox', priorSteps: 2, num: 2 })
  expect([first.shape, first.allFinite()]).toEqual([[2, 3, 16, 16], true])
  expect(maxDifference(await pictures({ prompt: 'a fox', priorSteps: 2, seed: 2 }), first.slice(0, 1, 2))).toBeLessThan(1e-6)
  const whole = first.slice(0, 0, 1)
  expect(maxDifference(await pictures({ prompt: 'a fox', priorSteps: 2, dropText: true }), whole)).toBeGreaterThan(1e-6)

  const [image, other] = [3, 4].map((seed) => new Generator(seed).randn([3, 20, 20]).mul(0.4)) as [NdArray, NdArray]
  const varied = await pictures({ image })
  expect(maxDifference(await pictures({ image: other }), varied)).toBeGreaterThan(1e-6)
  for (const options of [
    { vary: true, eta: 0.5 },
    { interpolate: other, num: 3 },
    { fromText: 'a star', to: 'a fox', num: 2 },
  ]) {
    const made = await pictures({ image, guidance: 1, ...options })
    expect([made.shape[0], made.allFinite()]).toEqual(['num' in options ? options.num : 1, true])
  }
  const plan = (options: Record<string, unknown>) => () => pipeline.plan(options)
  expect(plan({})).toThrow('prompt: missing')
  expect(plan({ prompt: 'a fox', vary: true })).toThrow('vary: it changes a picture: give image')
  expect(plan({ image, interpolate: other, to: 'a fox' })).toThrow('interpolate and to')
  await pipeline.release()

  // Another prior in place of its own.
  const bytwo = await loadPipeline(model, { threads: 1, prior: codes })
  const drawn = await pictures({ prompt: 'a fox' }, bytwo)
  expect([drawn.allFinite(), maxDifference(drawn, whole) > 1e-6]).toEqual([true, true])
  expect(bytwo.plan({ prompt: 'a fox' }).settings).toMatchObject({ 'Prior temperature': 0.5 })
  await bytwo.release()
  await expect(loadPipeline(model, { prior: model })).rejects.toThrow(/is a LatentUnCLIPPipeline; expected/)

  const [file, out] = [join(desk, 'a.png'), join(desk, 'out.png')]
  await savePng(file, image as never)
  const sink = { write: () => true }
  const flags = ['--model', model, '--image', file, '--vary', '--steps', '2', '--threads', '1', '--no-draw', '--out', out]
  expect(await main(['generate', ...flags], { out: sink, err: sink })).toBe(0)
  expect(readFileSync(out).toString('latin1')).toContain('Edit: varied')
})

/** A folder whose `unet/` is a decoder's. */
function withUnet(model: string): string {
  const dir = join(desk, 'stable')
  cpSync(join(model, 'decoder'), join(dir, 'unet'), { recursive: true })
  return dir
}

test('a decoder goes on from a network of text alone: at first the embedding changes nothing in the time', async () => {
  const text = await trained('text', { ...decoder, prior: undefined })
  // As the U-Net of a Stable Diffusion.
  const { job } = await prepare(parseRecipe({ ...decoder, decoder: undefined, pretrained: withUnet(text) }, 'more'))
  const start = job.task.start as ReadonlyMap<string, NdArray>
  const at = (name: string) => start.get(`text_proj.${name}.weight`) as NdArray
  expect(at('clip_image_embeddings_project_to_time_embeddings').abs().max().item()).toBe(0)
  expect(at('encoder_hidden_states_proj').sum().item()).toBe(20)
  expect([...start.keys()].filter((key) => key.startsWith('decoder.')).length).toBeGreaterThan(50)
  await expect(prepare(parseRecipe({ ...decoder, pretrained: text }, 'both'))).rejects.toThrow(
    'give either decoder or pretrained',
  )
})
