import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { loadConfig, matchWeights, openWeights, saveConfig, saveModel, writeModelIndex } from '../checkpoints/index.ts'
import { ArgumentError } from '../core/errors.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { betaSchedule, GaussianDiffusion, minSnrWeight, type SchedulerConfig } from '../diffusion/index.ts'
import { encodePng, imageGrid } from '../images/index.ts'
import { clipText, clipTextConfig } from '../models/clip/index.ts'
import { unet2dCondition, unet2dConditionConfig } from '../models/unet-condition/index.ts'
import { type AutoencoderKLConfig, autoencoderKL, autoencoderKLConfig } from '../models/vae/index.ts'
import { Params } from '../nn/params.ts'
import { createAutoencoder, createPromptBatches, framed, type PromptBatchParts } from '../pipelines/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { compile } from '../runtime/program.ts'
import { Generator } from '../runtime/random.ts'
import type { Weights } from '../runtime/weights.ts'
import { ClipTokenizer } from '../text/index.ts'
import { crossEntropy } from './classifier.ts'
import { networkFields } from './clip.ts'
import { scenesOf, scenesSchema } from './data.ts'
import { latentPool } from './latent-pool.ts'
import { drawLayouts, layoutQuestions, layoutReader } from './layout-reader.ts'
import { positionsFrom } from './positions.ts'
import type { RecipeKind } from './recipe.ts'
import { checkOneOf, inMemory, trainedModel, valuesIn } from './stored.ts'

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
  /** Timesteps from `begin` to before `end` are drawn `multiplier` times as often: those at which objects take their shapes, say. */
  timestep_bias: z.strictObject({ begin: z.int().min(0), end: z.int().positive(), multiplier: z.number().positive() }).optional(),
  /** γ of min-SNR; null weighs all levels alike, by which those with more noise count for more. */
  snr_gamma: z.number().positive().nullable().default(5),
  /** Scenes whose latents are kept: each is seen again and again, with other captions, noise and timesteps. */
  pool: z.int().positive().default(65_536),
})
type NoiseConfig = z.infer<typeof textToImageSchema>['scheduler']

/** Prompts of grids, in a run's folder and in a card: as people write them, some of pairs held apart in training. */
export const fixedPrompts: readonly string[] = [
  'a red fox and a slice of pizza on a blue background',
  'a big red apple on a yellow background',
  'two penguins on a teal background, flat style',
  'a cat above a star on a purple background',
  'a rocket on black, 3d style',
  'three mushrooms on a white background',
  'a small fox in the bottom right corner on a green background',
  'a panda left of a donut on pink',
  'a noto sticker of a frog on an orange background',
  'a rocket to the right of a star on a grey background',
  'four donuts on blue',
  'a cat, a frog and an apple on a red background',
  'a sunflower on a blue background, flat style',
  'a huge octopus and a tiny fox on a teal background',
  'a panda below a rainbow on a white background',
  'two frogs left of a mushroom on brown',
  'a cactus on a pink background in noto style',
  'a star on a purple background, 3d style',
  'a penguin right of a snowman on a yellow background',
  'an apple, a donut and a mushroom from left to right on white',
  'an octopus on a blue background',
  'a small star at the top left on a black background',
  'a slice of pizza at the top and an apple at the bottom on green',
  'a penguin next to a mushroom on an orange background',
  'three stars on a red background, noto style',
  'a flat picture of a fox on a yellow background',
  'a cat beside a donut on a teal background',
  'a cactus and a sunflower on a blue background, 3d style',
  'two rockets on a brown background',
  'a snowman on a purple background in the flat style',
  'an octopus over a cactus on a pink background',
  'a rainbow on a grey background',
]

/**
 * Where in the noise the errors on held-out scenes are measured, as shares of the timesteps: where objects take their shapes.
 * What captions tell there is the error without them less the error with them.
 */
const watched = [0.5, 0.75, 0.9]

/** How grids are sampled. */
export const gridSampling = { steps: 20, guidance: 3, seed: 0 } as const

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
    const { data, resolution: size, scheduler: noise, condition_dropout: dropout, snr_gamma: gamma, timestep_bias: bias } = recipe
    const { train_text_encoder: textLearns, layout_weight: layoutWeight } = recipe
    if (layoutWeight !== undefined && !textLearns)
      throw new ArgumentError('layout_weight: only a text encoder that learns can learn layouts; add train_text_encoder')
    const vae = storedAutoencoder(trainedModel(recipe.vae))
    checkOneOf('text-to-image', { unet: recipe.unet, pretrained: recipe.pretrained })
    const before = recipe.pretrained === undefined ? undefined : trainedModel(recipe.pretrained)
    const [textDir, tokenizerDir] = before
      ? [join(before, 'text_encoder'), join(before, 'tokenizer')]
      : [trainedModel(recipe.clip), trainedModel(recipe.clip)]
    const text = storedTextEncoder(textDir, tokenizerDir)
    const side = size / 2 ** (vae.config.block_out_channels.length - 1)
    if (bias && !(bias.begin < bias.end && bias.end <= noise.num_train_timesteps))
      throw new ArgumentError(`timestep_bias: ${bias.begin} to ${bias.end} is no range of ${noise.num_train_timesteps} timesteps`)
    const unetDir = before && join(before, 'unet')
    const network = unet2dConditionConfig(
      {
        in_channels: vae.config.latent_channels,
        out_channels: vae.config.latent_channels,
        ...(unetDir ? loadConfig(unetDir) : recipe.unet),
        sample_size: side,
        cross_attention_dim: text.config.hidden_size,
      },
      unetDir ?? 'unet',
    )
    const scheduler = schedulerOf(noise)
    const dataset = await scenesOf(data, { size, seed })

    const params = new Params()
    const shape = [batchSize, network.in_channels, side, side]
    const length = text.tokenizer.maxLength
    const [x, t, target, weight] = [
      input('x', shape),
      input('t', [batchSize]),
      input('target', shape),
      input('weight', [batchSize]),
    ]
    const tokens = input('tokens', [batchSize, length], 'i64')
    const denoiser = unet2dCondition(params, network)
    const denoiserKeys = [...params.tensors.keys()]
    const denoiserStart = unetDir ? valuesIn(unetDir, params) : new Map<string, NdArray>()
    const textStart = inMemory(text.weights)
    const encoder = clipText(textLearns ? params : Params.frozen(textStart), text.config)
    const errors = denoiser(x, t, encoder(tokens).lastHiddenState).sub(target).square().mean([1, 2, 3])
    const error = errors.mul(weight).mean()
    const layout = layoutWeight === undefined ? undefined : layoutError()

    const { num_train_timesteps: steps, beta_schedule: schedule, prediction_type: prediction } = noise
    const process = new GaussianDiffusion(betaSchedule(schedule, { steps, start: noise.beta_start, end: noise.beta_end }))
    const raised = prediction === 'v_prediction' ? 1 : 0
    const latents = latentPool({ dataset, vae, count: recipe.pool, stamp: { data, size, seed } })
    const noised = (clean: NdArray, noise: NdArray, times: readonly number[]) => ({
      x: process.addNoise(clean, noise, times),
      t: NdArray.from(times),
      target: process.target(prediction, clean, noise, times),
    })
    const levels = watched.map((share) => Math.floor(share * steps))
    const encodedHeldOut = async () => {
      const held = await scenesOf(data, { size, seed: seed + 1, split: 'phrasings' })
      const { images, captions } = await held.batch(positionsFrom(0, batchSize))
      const coder = createAutoencoder(vae)
      const clean = (await coder.encode(images)).mul(vae.config.scaling_factor)
      await coder.release()
      return { clean, told: { error: captions, untold: captions.map(() => '') } }
    }
    let heldOut: ReturnType<typeof encodedHeldOut> | undefined
    /** The whole pipeline, of the weights that learn. */
    const pipelineOf = (weights: ReadonlyMap<string, NdArray>): PromptBatchParts => {
      const own = (keys: Iterable<string>) => new Map([...keys].map((key) => [key, weights.get(key) as NdArray]))
      const told = textLearns ? { ...text, weights: own(textStart.keys()) } : text
      return { unet: { config: network, weights: own(denoiserKeys) }, text: told, vae, scheduler, size }
    }

    return {
      task: {
        params,
        loss: layout ? error.add(layout.mul(layoutWeight as number)) : error,
        metrics: { error: errors.mean(), ...(layout && { layout }) },
        start: new Map([...denoiserStart, ...(textLearns ? textStart : [])]),
        async batch(generator) {
          const positions = Array.from(generator.randint(0, recipe.pool, [batchSize]).data, Number)
          const captions = positions.map((at) => dataset.captionAt(at, generator.bits()).text)
          const told = generator.rand([batchSize]).data
          const kept = captions.map((caption, i) => ((told[i] as number) < dropout ? '' : caption))
          const clean = await latents(positions)
          const times = spreadTimes(generator, steps, batchSize, bias)
          return {
            ...noised(clean, generator.randn(shape), times),
            weight: NdArray.from(
              times.map((time) => (gamma === null ? 1 : minSnrWeight(prediction, process.level(time), gamma, raised))),
            ),
            tokens: framed(text.tokenizer, kept),
            ...(layout && layoutFeeds(generator)),
          }
        },
      },
      validation: {
        names: levels.flatMap((time) => [`error_${time}`, `untold_${time}`]),
        async measure(weights) {
          heldOut ??= encodedHeldOut()
          const { clean, told } = await heldOut
          const program = await compile({ outputs: { error: errors.mean() }, weights })
          const found: Record<string, number> = {}
          for (const time of levels) {
            const times = Array<number>(batchSize).fill(time)
            const feeds = noised(clean, new Generator(time).randn(shape), times)
            for (const [name, captions] of Object.entries(told)) {
              const { error } = await program.run({ ...feeds, tokens: framed(text.tokenizer, captions) })
              found[`${name}_${time}`] = error?.item() as number
            }
          }
          await program.release()
          return found
        },
      },
      async preview(weights) {
        const sampler = createPromptBatches(pipelineOf(weights))
        const pictures = await sampler.generate(fixedPrompts, gridSampling)
        await sampler.release()
        return encodePng(imageGrid(pictures, { columns: 8 }))
      },
      save: (weights, dir) => savePipeline(dir, pipelineOf(weights), tokenizerDir),
    }

    /** How badly the reader reads captions that tell a layout, as many as there are pictures. */
    function layoutError(): Tensor {
      const rows = batchSize * layoutQuestions
      const kinds = dataset.nouns.length
      const read = layoutReader(params.at('layout'), text.config.hidden_size, kinds)
      const states = encoder(input('layoutTokens', [batchSize, length], 'i64')).lastHiddenState
      return crossEntropy(read(states).reshape([rows, kinds]), input('layout', [rows], 'i64'), input('layoutTold', [rows]))
    }

    function layoutFeeds(generator: Generator) {
      const { captions, answers, told } = drawLayouts(dataset, generator, batchSize)
      return { layoutTokens: framed(text.tokenizer, captions), layout: answers, layoutTold: told }
    }
  },
}

type TimestepBias = NonNullable<z.infer<typeof textToImageSchema>['timestep_bias']>

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

const DIFFUSERS = '0.40.0'
const tokenizerFiles = ['vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json']

/** As Stable Diffusion's own, but for the levels, and the steps, which end at the last of training (Lin et al. 2024, section 3.3). */
const schedulerOf = (noise: NoiseConfig): SchedulerConfig => ({
  ...noise,
  _class_name: 'DDIMScheduler',
  _diffusers_version: DIFFUSERS,
  clip_sample: false,
  set_alpha_to_one: false,
  steps_offset: 1,
  timestep_spacing: 'trailing',
})

/** All parts as one folder that `loadStableDiffusion` and diffusers' StableDiffusionPipeline load, its weights as float16. */
function savePipeline(dir: string, { unet, vae, text, scheduler }: PromptBatchParts, tokenizer: string): void {
  const half = { dtype: 'f16' } as const
  const own = (className: string) => ({ _class_name: className, _diffusers_version: DIFFUSERS })
  saveModel(join(dir, 'unet'), { ...own('UNet2DConditionModel'), ...unet.config }, unet.weights, half)
  saveModel(join(dir, 'vae'), { ...own('AutoencoderKL'), ...vae.config }, vae.weights, half)
  const numbers = { bos_token_id: text.tokenizer.start, pad_token_id: text.tokenizer.pad }
  const fields = { architectures: ['CLIPTextModel'], model_type: 'clip_text_model', ...networkFields(text.config), ...numbers }
  saveModel(join(dir, 'text_encoder'), fields, text.weights, half)
  savePipelineFrame(dir, { scheduler, tokenizer })
}

/** What a StableDiffusionPipeline's folder has beside its networks: a tokenizer's files from its folder, the scheduler, and the index. */
export function savePipelineFrame(
  dir: string,
  { scheduler, tokenizer }: { scheduler: SchedulerConfig; tokenizer: string },
): void {
  mkdirSync(join(dir, 'tokenizer'), { recursive: true })
  for (const file of tokenizerFiles) copyFileSync(join(tokenizer, file), join(dir, 'tokenizer', file))
  saveConfig(join(dir, 'scheduler'), { ...scheduler }, 'scheduler_config.json')
  const component = (library: string, className: string) => ({ library, className })
  writeModelIndex(dir, {
    _class_name: 'StableDiffusionPipeline',
    _diffusers_version: DIFFUSERS,
    components: new Map([
      ['unet', component('diffusers', 'UNet2DConditionModel')],
      ['vae', component('diffusers', 'AutoencoderKL')],
      ['text_encoder', component('transformers', 'CLIPTextModel')],
      ['tokenizer', component('transformers', 'CLIPTokenizer')],
      ['scheduler', component('diffusers', 'DDIMScheduler')],
      ...['safety_checker', 'feature_extractor', 'image_encoder'].map((name) => [name, null] as const),
    ]),
    options: { requires_safety_checker: false },
  })
}

export function storedAutoencoder(dir: string): { config: AutoencoderKLConfig; weights: Weights } {
  const config = autoencoderKLConfig(loadConfig(dir), join(dir, 'config.json'))
  const p = new Params()
  autoencoderKL(p, config)
  return { config, weights: matchWeights(p.tensors, openWeights(dir), { place: dir }) }
}

/** The text half of a CLIP's folder, or a text encoder's, and its tokenizer. */
export function storedTextEncoder(dir: string, tokenizer = dir) {
  const config = clipTextConfig(loadConfig(dir), join(dir, 'config.json'))
  const p = new Params()
  clipText(p, config)
  const stored = new Map([...openWeights(dir)].filter(([key]) => key.startsWith('text_model.')))
  return { config, weights: matchWeights(p.tensors, stored, { place: dir }), tokenizer: ClipTokenizer.open(tokenizer) }
}
