import { join } from 'node:path'
import { z } from 'zod'
import { loadConfig } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import { input, type Tensor } from '../../../core/tensor.ts'
import { betaSchedule, GaussianDiffusion, minSnrWeight } from '../../../diffusion/index.ts'
import { encodePng, imageGrid } from '../../../images/index.ts'
import { clipText } from '../../../models/clip/index.ts'
import { unet2dCondition, unet2dConditionConfig } from '../../../models/unet-condition/index.ts'
import { Params } from '../../../nn/params.ts'
import { createAutoencoder, createPromptBatches, framed, type PromptBatchParts } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import type { TrainingJob } from '../../../training/run.ts'
import { scenesOf, scenesSchema } from '../../data.ts'
import { positionsFrom } from '../../positions.ts'
import type { RecipeKind } from '../../recipe.ts'
import { checkOneOf, inMemory, trainedModel, valuesIn } from '../../stored.ts'
import { fixedPrompts, gridSampling } from './fixed-prompts.ts'
import { latentPool } from './latent-pool.ts'
import { layoutLoss } from './layout-head.ts'
import { savePipeline, schedulerOf, storedAutoencoder, storedTextEncoder } from './pipeline-folder.ts'

/** The denoiser of a latent diffusion model. Fields of the network and the scheduler are diffusers'. */
export const textToImageSchema = z.object({
  data: scenesSchema,
  resolution: z.int().positive().default(64),
  /** Folders or names of the parts that are trained before. */
  vae: z.string().default('stickers-vae'),
  clip: z.string().default('stickers-clip'),
  /** Whether the text encoder goes on learning, with the denoiser: Rombach et al. 2022, section 3.3. */
  train_text_encoder: z.boolean().default(false),
  /**
   * Weight of a reader that learns, from the text's states, what captions tell of layouts: the denoiser's error alone taught the text
   * encoder no order of objects in 600 steps. Not kept.
   */
  layout_weight: z.number().positive().optional(),
  /** The network, where it does not come with a `pretrained` pipeline. */
  unet: z.record(z.string(), z.unknown()).optional(),
  /** A pipeline that goes on, by its folder or name, with its own text encoder in place of `clip`: fine-tuning. */
  pretrained: z.string().optional(),
  scheduler: z
    .strictObject({
      num_train_timesteps: z.int().positive().default(1000),
      beta_start: z.number().positive().default(0.00085),
      beta_end: z.number().positive().default(0.012),
      /** That of Stable Diffusion, `scaled_linear`, leaves some signal in the last level, which sampling starts without. */
      beta_schedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2']).default('squaredcos_cap_v2'),
      prediction_type: z.enum(['epsilon', 'v_prediction']).default('v_prediction'),
    })
    .prefault({}),
  /** The share of captions that are left out, for guidance. */
  condition_dropout: z.number().min(0).max(1).default(0.1),
  /**
   * From step `from` of the run on, until the next of the list takes over, timesteps from `begin` to before `end` are drawn `multiplier`
   * times as often: those at which objects take their shapes first, say, and those at which they get their places later.
   */
  timestep_bias: z
    .array(
      z.strictObject({
        from: z.int().min(0).default(0),
        begin: z.int().min(0),
        end: z.int().positive(),
        multiplier: z.number().positive(),
      }),
    )
    .default([]),
  /** γ of min-SNR; null weighs all levels alike, by which those with more noise count for more. */
  snr_gamma: z.number().positive().nullable().default(5),
  /** Scenes whose latents are kept: each is seen again and again, with other captions, noise and timesteps. */
  pool: z.int().positive().default(65_536),
})
type TextToImage = z.infer<typeof textToImageSchema>

/**
 * Where in the noise the errors on held-out scenes are measured, as shares of the timesteps: where objects take their shapes.
 * What captions tell there is the error without them less the error with them.
 */
const watched = [0.5, 0.75, 0.9]

/** Latent diffusion told by texts (Rombach et al. 2022, section 3.3), with classifier-free guidance (Ho and Salimans 2021). */
export const textToImageKind: RecipeKind<typeof textToImageSchema> = {
  name: 'text-to-image',
  summary: 'a latent diffusion model of captioned scenes',
  schema: textToImageSchema,
  training: {
    train_batch_size: 64,
    learning_rate: 5e-4,
    lr_warmup_steps: 300,
    adam_weight_decay: 0.01,
    ema_decay: 0.999,
  },
  async job(recipe, { batchSize, seed }) {
    check(recipe)
    const { data, resolution: size, train_text_encoder: textLearns, layout_weight: layoutWeight } = recipe
    const { vae, text, tokenizerDir, network, unetDir } = openParts(recipe)
    const dataset = await scenesOf(data, { size, seed })
    const { noised, weightAt, drawTimes } = noising(recipe)

    const params = new Params()
    const shape = [batchSize, network.in_channels, network.sample_size as number, network.sample_size as number]
    const denoiser = unet2dCondition(params, network)
    const denoiserKeys = [...params.tensors.keys()]
    const denoiserStart = unetDir ? valuesIn(unetDir, params) : new Map<string, NdArray>()
    const textStart = inMemory(text.weights)
    const encoder = clipText(textLearns ? params : Params.frozen(textStart), text.config)
    const context = encoder(input('tokens', [batchSize, text.tokenizer.maxLength], 'i64')).lastHiddenState
    const predicted = denoiser(input('x', shape), input('t', [batchSize]), context)
    const errors = predicted.sub(input('target', shape)).square().mean([1, 2, 3])
    const error = errors.mean()
    const weighted = errors.mul(input('weight', [batchSize])).mean()
    const layout = layoutWeight === undefined ? undefined : layoutLoss({ params, text, encoder, dataset, batchSize })

    const latents = latentPool({ dataset, vae, count: recipe.pool, stamp: { data, size, seed } })
    /** The whole pipeline, of the weights that learn. */
    const pipelineOf = (weights: ReadonlyMap<string, NdArray>): PromptBatchParts => {
      const own = (keys: Iterable<string>) => new Map([...keys].map((key) => [key, weights.get(key) as NdArray]))
      const told = textLearns ? { ...text, weights: own(textStart.keys()) } : text
      return {
        unet: { config: network, weights: own(denoiserKeys) },
        text: told,
        vae,
        scheduler: schedulerOf(recipe.scheduler),
        size,
      }
    }

    return {
      task: {
        params,
        loss: layout ? weighted.add(layout.loss.mul(layoutWeight as number)) : weighted,
        metrics: { error, ...(layout && { layout: layout.loss }) },
        start: new Map([...denoiserStart, ...(textLearns ? textStart : [])]),
        async batch(generator, step) {
          const positions = Array.from(generator.randint(0, recipe.pool, [batchSize]).data, Number)
          const captions = positions.map((at) => dataset.captionAt(at, generator.bits()).text)
          const told = generator.rand([batchSize]).data
          const kept = captions.map((caption, i) => ((told[i] as number) < recipe.condition_dropout ? '' : caption))
          const clean = await latents(positions)
          const times = drawTimes(generator, batchSize, step)
          return {
            ...noised(clean, generator.randn(shape), times),
            weight: NdArray.from(times.map(weightAt)),
            tokens: framed(text.tokenizer, kept),
            ...layout?.feeds(generator),
          }
        },
      },
      validation: heldOutErrors(recipe, { error, shape, noised, vae, text, seed }),
      async preview(weights) {
        const sampler = createPromptBatches(pipelineOf(weights))
        const pictures = await sampler.generate(fixedPrompts, gridSampling)
        await sampler.release()
        return encodePng(imageGrid(pictures, { columns: 8 }))
      },
      save: (weights, dir) => savePipeline(dir, pipelineOf(weights), tokenizerDir),
    }
  },
}

/** @throws ArgumentError for fields that don't go together */
function check({ unet, pretrained, timestep_bias: biases, scheduler, ...recipe }: TextToImage): void {
  checkOneOf('text-to-image', { unet, pretrained })
  if (recipe.layout_weight !== undefined && !recipe.train_text_encoder)
    throw new ArgumentError('layout_weight: only a text encoder that learns can learn layouts; add train_text_encoder')
  const { num_train_timesteps: steps } = scheduler
  for (const [i, { from, begin, end }] of biases.entries()) {
    if (!(begin < end && end <= steps))
      throw new ArgumentError(`timestep_bias: ${begin} to ${end} is no range of ${steps} timesteps`)
    const before = biases[i - 1]
    if (before && before.from >= from)
      throw new ArgumentError(`timestep_bias: from ${before.from}, then from ${from}; put them in the order of their steps`)
  }
}

/** The parts that are trained before, and the denoiser's configuration, with its folder where it is a `pretrained` pipeline's. */
function openParts(recipe: TextToImage) {
  const vae = storedAutoencoder(trainedModel(recipe.vae))
  const before = recipe.pretrained === undefined ? undefined : trainedModel(recipe.pretrained)
  const textDir = before ? join(before, 'text_encoder') : trainedModel(recipe.clip)
  const tokenizerDir = before ? join(before, 'tokenizer') : textDir
  const text = storedTextEncoder(textDir, tokenizerDir)
  const unetDir = before && join(before, 'unet')
  const network = unet2dConditionConfig(
    {
      in_channels: vae.config.latent_channels,
      out_channels: vae.config.latent_channels,
      ...(unetDir ? loadConfig(unetDir) : recipe.unet),
      sample_size: recipe.resolution / 2 ** (vae.config.block_out_channels.length - 1),
      cross_attention_dim: text.config.hidden_size,
    },
    unetDir ?? 'unet',
  )
  return { vae, text, tokenizerDir, network, unetDir }
}

/** What a recipe says of noise: how latents get it, how much their errors weigh, and how often each timestep is drawn. */
function noising({ scheduler, snr_gamma: gamma, timestep_bias: biases }: TextToImage) {
  const { num_train_timesteps: steps, beta_schedule: schedule, beta_start: start, beta_end: end } = scheduler
  const prediction = scheduler.prediction_type
  const process = new GaussianDiffusion(betaSchedule(schedule, { steps, start, end }))
  const raised = prediction === 'v_prediction' ? 1 : 0
  return {
    /** The feeds `x`, `t` and `target` of clean latents. */
    noised: (clean: NdArray, noise: NdArray, times: readonly number[]) => ({
      x: process.addNoise(clean, noise, times),
      t: NdArray.from(times),
      target: process.target(prediction, clean, noise, times),
    }),
    weightAt: (time: number) => (gamma === null ? 1 : minSnrWeight(prediction, process.level(time), gamma, raised)),
    /** Timesteps of a batch of the run's step `step`. */
    drawTimes: (generator: Generator, count: number, step: number) =>
      spreadTimes(
        generator,
        steps,
        count,
        biases.findLast(({ from }) => from <= step),
      ),
  }
}

interface HeldOutParts extends Pick<ReturnType<typeof openParts>, 'vae' | 'text'>, Pick<ReturnType<typeof noising>, 'noised'> {
  readonly error: Tensor
  /** Of a batch of latents. */
  readonly shape: readonly number[]
  readonly seed: number
}

/** Errors on held-out scenes at the watched levels, with their captions and without. */
function heldOutErrors(
  { data, resolution: size, scheduler }: TextToImage,
  { error, shape, noised, vae, text, seed }: HeldOutParts,
): NonNullable<TrainingJob['validation']> {
  const levels = watched.map((share) => Math.floor(share * scheduler.num_train_timesteps))
  const batchSize = shape[0] as number
  const encoded = async () => {
    const held = await scenesOf(data, { size, seed: seed + 1, split: 'phrasings' })
    const { images, captions } = await held.batch(positionsFrom(0, batchSize))
    const coder = createAutoencoder(vae)
    const clean = (await coder.encode(images)).mul(vae.config.scaling_factor)
    await coder.release()
    return { clean, told: { error: captions, untold: captions.map(() => '') } }
  }
  let heldOut: ReturnType<typeof encoded> | undefined
  return {
    names: levels.flatMap((time) => [`error_${time}`, `untold_${time}`]),
    async measure(weights) {
      heldOut ??= encoded()
      const { clean, told } = await heldOut
      const program = await compile({ outputs: { error }, weights })
      const found: Record<string, number> = {}
      for (const time of levels) {
        const feeds = noised(clean, new Generator(time).randn(shape), Array<number>(batchSize).fill(time))
        for (const [name, captions] of Object.entries(told)) {
          const { error } = await program.run({ ...feeds, tokens: framed(text.tokenizer, captions) })
          found[`${name}_${time}`] = error?.item() as number
        }
      }
      await program.release()
      return found
    },
  }
}

type TimestepBias = Omit<TextToImage['timestep_bias'][number], 'from'>

/**
 * Times of a batch, each from 0 … steps − 1, uniform but for the bias, together evenly spread: the loss varies less from batch to
 * batch (Kingma et al. 2021, variational diffusion models, the low-discrepancy sampler).
 */
export function spreadTimes(
  generator: Generator,
  steps: number,
  count: number,
  { begin, end, multiplier }: TimestepBias = { begin: 0, end: steps, multiplier: 1 },
): number[] {
  // The times stretched so that the range is as long as it is likely.
  const longer = (end - begin) * (multiplier - 1)
  const start = generator.rand([1]).item()
  return positionsFrom(0, count).map((i) => {
    const at = (steps + longer) * ((start + i / count) % 1)
    const within = (at - begin) / multiplier
    return Math.floor(at < begin ? at : within < end - begin ? begin + within : at - longer)
  })
}
