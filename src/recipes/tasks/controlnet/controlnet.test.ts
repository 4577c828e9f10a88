import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../../../tests/fixture.ts'
import { relativeDifference, weightsOf } from '../../../../tests/networks.ts'
import { openWeights } from '../../../checkpoints/index.ts'
import { vjp } from '../../../core/grad.ts'
import { constant, input, type Tensor } from '../../../core/tensor.ts'
import { decodePixels, encodePng } from '../../../images/index.ts'
import { unet2dCondition, unet2dConditionConfig } from '../../../models/unet-condition/index.ts'
import { Params } from '../../../nn/params.ts'
import { finish, loadPipeline } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import { adamw } from '../../../training/optimizer.ts'
import { runTraining } from '../../../training/run.ts'
import { TrainingStep } from '../../../training/step.ts'
import { publishRun } from '../../cards/index.ts'
import type { ControlEvaluation } from '../../evaluation/control.ts'
import { evaluateOptions } from '../../evaluation/options.ts'
import { parseRecipe, prepare } from '../../index.ts'
import { inMemory } from '../../stored.ts'
import { controlConfigOf, controlObjective, controlStart, noiseOf } from './network.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-controlnet-'))
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))

describe("as diffusers' train_controlnet.py", () => {
  const reference = fixture('controlnet-training')
  const cases = JSON.parse(reference.metadata.cases as string) as {
    readonly unet: object
    readonly widths: readonly number[]
    readonly rate: number
    readonly runs: Readonly<Record<string, readonly { readonly loss: number; readonly norm: number }[]>>
  }
  const unetConfig = unet2dConditionConfig(cases.unet)

  /** The objective on a batch of the fixture, and its weights at the start. */
  function small(start: 'zero' | 'gaussian' = 'zero') {
    const base = new Params()
    unet2dCondition(base, unetConfig)
    const unet = { config: unetConfig, weights: weightsOf(base, 0) }
    const config = controlConfigOf(unetConfig, 2, cases.widths)
    const params = new Params()
    const context = input('context', [2, 5, 12])
    const objective = controlObjective({ params, config, unet, context, batchSize: 2, height: 6, width: 8, factor: 2 })
    const values = controlStart(params, unet.weights, 0, start)
    const drawn = weightsOf(params, 1)
    const last = 'controlnet_cond_embedding.conv_out'
    for (const [key, value] of drawn) if (key.startsWith('controlnet_cond') && !key.startsWith(last)) values.set(key, value)
    return { params, unet, values, ...objective }
  }
  const batchAt = (step: number, prediction: string) => {
    const given = (key: string) => tensorOf(reference, `${step} ${key}`)
    const levels = { beta_schedule: 'scaled_linear', beta_start: 0.00085, beta_end: 0.012, prediction_type: prediction }
    const noise = noiseOf({ _class_name: 'DDPMScheduler', ...levels })
    const times = Array.from(given('times').data)
    return {
      x: noise.process.addNoise(given('latents'), given('noise'), times),
      t: NdArray.from(times),
      target: noise.process.target(noise.prediction, given('latents'), given('noise'), times),
      context: given('context'),
      hint: given('hint'),
    }
  }

  test.each(Object.entries(cases.runs))('the first five losses and gradients of %s', async (prediction, rows) => {
    const { params, values, error } = small()
    const optimizer = adamw()
    const step = await TrainingStep.compile({ params, loss: error }, values, { optimizer, maxGradNorm: 1, threads: 1 })
    const wrt = [...params.tensors]
    const gradients = vjp(
      [error],
      wrt.map(([, parameter]) => parameter),
      [constant([1], [])],
    )
    const outputs = Object.fromEntries(wrt.map(([key], i) => [`grad ${key}`, gradients[i] as Tensor]))
    for (const [i, { loss, norm }] of rows.entries()) {
      const batch = batchAt(i, prediction)
      const own = [...reference.tensors.keys()].filter((key) => key.startsWith(`${i} grad `))
      if (prediction === 'epsilon' && own.length > 0) {
        const program = await compile({ outputs, weights: await step.weights() }, { threads: 1 })
        const found = await program.run(batch)
        await program.release()
        const largest = Math.max(...own.map((key) => tensorOf(reference, key).abs().max().item()))
        for (const key of own)
          expect(maxDifference(found[key.slice(2)] as NdArray, tensorOf(reference, key)) / largest, key).toBeLessThan(1e-4)
        // At first only what a zero stands before learns.
        const awake = Object.entries(found).filter(([, gradient]) => gradient.abs().max().item() > 0)
        if (i === 0) expect(awake.map(([key]) => `0 ${key}`).sort()).toEqual(own.sort())
      }
      const made = await step.run([batch], optimizer.scalars(i + 1, cases.rate))
      expect(Math.abs(made.loss / loss - 1)).toBeLessThan(1e-4)
      expect(Math.abs(made.gradNorm / norm - 1)).toBeLessThan(1e-4)
    }
    await step.release()
  })

  test('before the first step the output is that of the base, bit for bit; with Gaussian convolutions it is not', async () => {
    for (const start of ['zero', 'gaussian'] as const) {
      const { predicted, plain, values } = small(start)
      const program = await compile({ outputs: { predicted, plain }, weights: values }, { threads: 1 })
      const { target: _, ...feeds } = batchAt(0, 'epsilon')
      const found = await program.run(feeds)
      await program.release()
      const difference = relativeDifference(found.predicted, found.plain as NdArray)
      if (start === 'zero') expect(difference).toBe(0)
      else expect(difference).toBeGreaterThan(0.01)
    }
  })
})

const sd1 = fileURLToPath(new URL('../../../../parity/fixtures/stable-diffusion/sd1', import.meta.url))
const recipe = {
  recipe: 'controlnet',
  data: { kind: 'scenes', styles: ['noto'] },
  resolution: 32,
  condition: 'outline',
  pretrained_model_name_or_path: sd1,
  pool: 16,
  training: {
    ...{ train_batch_size: 4, max_train_steps: 4, validation_steps: 4, checkpointing_steps: 2, lr_warmup_steps: 1, threads: 1 },
    ...{ learning_rate: 1e-2, num_validation_images: 3, validation_num_inference_steps: 2, ema_decay: 0 },
  },
}
async function trained(name: string, own: object, steps?: number) {
  const { job, config } = await prepare(parseRecipe(own, name))
  const dir = join(desk, name)
  await runTraining(
    job,
    { ...config, ...(steps !== undefined && { max_train_steps: steps }) },
    { dir, stream: { write: () => {} } },
  )
  const table = (file: string) => readFileSync(join(dir, file), 'utf8').trim().split('\n')
  const losses = table('log.csv')
    .slice(1)
    .map((row) => row.split(',')[1])
  return { dir, model: join(dir, 'model'), losses, validation: () => table('validation.csv') }
}
/** Every file of a folder, by its name. */
const filesIn = (dir: string) =>
  Object.fromEntries(
    readdirSync(dir, { recursive: true, encoding: 'utf8' })
      .filter((file) => statSync(join(dir, file)).isFile())
      .map((file) => [file, readFileSync(join(dir, file)).toString('base64')]),
  )

test('a ControlNet learns outlines of scenes; the base stays as it is; a run that was stopped goes on with the same losses', {
  timeout: 120_000,
}, async () => {
  const before = filesIn(sd1)
  const whole = await trained('whole', recipe)
  expect(filesIn(sd1)).toEqual(before)
  const [heads, numbers] = whole.validation()
  expect(heads).toBe('step,overlap,error_500,plain_500,error_750,plain_750,error_900,plain_900')
  expect(numbers?.split(',').every((cell) => Number.isFinite(Number(cell)))).toBe(true)
  // Three maps above three pictures.
  expect((await decodePixels(join(whole.dir, 'samples', 'step-4.png'))).shape).toEqual([2 * 34 + 2, 3 * 34 + 2, 3])
  const again = await trained('again', recipe, 2)
  expect(again.losses).toEqual(whole.losses.slice(0, 2))
  expect((await trained('again', recipe)).losses).toEqual(whole.losses)

  const config = JSON.parse(readFileSync(join(whole.model, 'config.json'), 'utf8'))
  expect(config).toMatchObject({ _class_name: 'ControlNetModel', conditioning_embedding_out_channels: [16, 32] })
  const picture = async (controlnets: string[]) => {
    const pipeline = await loadPipeline(sd1, { threads: 1, controlnets })
    const controls = controlnets.map(() => ({ picture: new Generator(1).rand([3, 32, 32]) }))
    const run = { prompt: 'a fox', steps: 2, seed: 1, width: 32, height: 32, ...(controls.length > 0 && { controls }) }
    const made = await finish(pipeline.generate(run))
    await pipeline.release()
    if (made.type !== 'pictures') throw new Error('no picture')
    return made.pictures
  }
  expect(maxDifference(await picture([whole.model]), await picture([]))).toBeGreaterThan(0)
  // Going on: it starts where the other ended, in half precision.
  const more = { ...recipe, controlnet_model_name_or_path: whole.model }
  const { job } = await prepare(parseRecipe(more, 'more'))
  const stored = inMemory(openWeights(whole.model))
  for (const [key, value] of job.task.start ?? []) expect(maxDifference(value, stored.get(key) as NdArray), key).toBe(0)
})

test('the card of a ControlNet states what was measured, with another added, and without gaps', {
  timeout: 120_000,
}, async () => {
  const out = join(desk, 'tiny-control')
  const evaluate = evaluateOptions.parse({ num: 3, steps: 1, batch: 3, controlnet: join(desk, 'whole', 'model') })
  await publishRun(join(desk, 'whole'), out, { evaluate, warn: () => {} })
  const card = readFileSync(join(out, 'README.md'), 'utf8')
  expect(card).toContain('3 maps (outline)')
  expect(card).not.toMatch(/undefined|NaN|\[object|null/)
  const { scores, model } = JSON.parse(readFileSync(join(out, 'evaluation.json'), 'utf8')) as ControlEvaluation
  expect(model).toBe('tiny-control')
  const names = [
    'real pictures',
    'tiny-control',
    'tiny-control and model, added',
    'without a map',
    'tiny-control, maps of other scenes',
  ]
  expect(scores.map(({ name }) => name)).toEqual(names)
  // Outlines of what is real enclose it.
  expect(scores[0]?.overlap.mean).toBe(1)
  expect(scores[0]?.rates.placed.share).toBeGreaterThan(scores[3]?.rates.placed.share as number)
  expect((await decodePixels(join(out, 'pictures', 'maps.png'))).shape).toEqual([3 * 68 + 4, 3 * 68 + 4, 3])
})

test('a folder of pictures, control images and captions; or with control images made of its pictures', {
  timeout: 120_000,
}, async () => {
  const folder = join(desk, 'folder')
  mkdirSync(join(folder, 'maps'), { recursive: true })
  const generator = new Generator(3)
  const rows: object[] = []
  for (let i = 0; i < 3; i++) {
    writeFileSync(join(folder, `${i}.png`), await encodePng(generator.rand([3, 40, 32])))
    writeFileSync(join(folder, 'maps', `${i}.png`), await encodePng(generator.rand([3, 40, 32])))
    rows.push({ file_name: `${i}.png`, text: `picture ${i}`, conditioning_image: `maps/${i}.png` })
  }
  const write = (all: readonly object[]) =>
    writeFileSync(join(folder, 'metadata.jsonl'), all.map((row) => JSON.stringify(row)).join('\n'))
  write(rows)
  const data = { kind: 'folder', train_data_dir: folder, conditioning_image_column: 'conditioning_image' }
  const training = { ...recipe.training, max_train_steps: 1, validation_steps: 1 }
  const { condition: _, pool: __, ...rest } = recipe
  const { losses, validation } = await trained('folder-run', { ...rest, data, training })
  expect([losses.length, validation().length]).toEqual([1, 2])
  const { job } = await prepare(parseRecipe({ ...rest, data, training }, 'folder'))
  const { hint } = await job.task.batch(new Generator(0), 1)
  expect(hint?.shape).toEqual([4, 3, 32, 32])

  await expect(prepare(parseRecipe({ ...rest, data: { ...data, conditioning_image_column: undefined } }, 'x'))).rejects.toThrow(
    'either condition or data.conditioning_image_column',
  )
  const own = { kind: 'folder', train_data_dir: folder }
  await expect(prepare(parseRecipe({ ...rest, data: own, condition: 'layout' }, 'x'))).rejects.toThrow('of scenes alone')
  write([{ ...rows[0], conditioning_image: 'maps/9.png' }, rows[1] as object, rows[2] as object])
  await expect(prepare(parseRecipe({ ...rest, data }, 'x'))).rejects.toThrow('maps/9.png, and the folder has no such picture')
  write([{ ...rows[0], conditioning_image: undefined }, rows[1] as object, rows[2] as object])
  await expect(prepare(parseRecipe({ ...rest, data }, 'x'))).rejects.toThrow('has no conditioning_image')
})

test('what does not fit is said before anything runs', async () => {
  const faults: [object, string][] = [
    [{ condition: undefined }, 'give condition, one of canny, outline'],
    [{ conditioning_embedding_out_channels: [16, 32, 64] }, 'latents are 2 pixels wide: give 2'],
    [{ timestep_bias: [{ begin: 0, end: 2000, multiplier: 2 }] }, '0 to 2000 is no range of 1000 timesteps'],
    [{ pretrained_model_name_or_path: join(sd1, '..', 'xl') }, 'it needs one text encoder'],
    [{ pretrained_model_name_or_path: 'nowhere' }, 'is needed first'],
  ]
  for (const [fields, message] of faults)
    await expect(prepare(parseRecipe({ ...recipe, ...fields }, 'faulty')), message).rejects.toThrow(message)
})
