import { existsSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { z } from 'zod'
import { loadConfig } from '../checkpoints/index.ts'
import type { GenerateOptions, LoadOptions, StableDiffusion, StepCache } from '../pipelines/index.ts'
import { generateOptions } from '../pipelines/stable-diffusion/options.ts'
import { defineCommand, onInterrupt, printResult, version } from './command.ts'
import { UsageError } from './errors.ts'

const file = z.string()
const files = z.array(z.string()).default([])
const { shape } = generateOptions

const options = z.object({
  prompt: shape.prompt,
  model: z.string().default('stickers-t2i').meta({
    description: "a folder in diffusers' layout, an original's .safetensors file, a bundled model, or a name on the hub",
  }),
  negative: shape.negative,
  prompt2: shape.prompt2,
  negative2: shape.negative2,
  steps: shape.steps,
  guidance: shape.guidance,
  seed: shape.seed,
  width: shape.width,
  height: shape.height,
  num: shape.num,
  scheduler: z
    .string()
    .optional()
    .meta({ description: `${shape.scheduler.meta()?.description}` }),
  eta: shape.eta,
  rescale: shape.rescale,
  clipSkip: shape.clipSkip,
  syntax: shape.syntax,
  image: file.optional().meta({ description: 'a picture to start from' }),
  strength: shape.strength,
  mask: file.optional().meta({ description: 'a picture as large: what is white is repainted' }),
  maskPadding: shape.maskPadding,
  maskBlur: shape.maskBlur,
  imageGuidance: shape.imageGuidance,
  noiseLevel: shape.noiseLevel,
  depth: file.optional().meta({ description: 'the depth map that a depth model keeps' }),
  controlnet: files.meta({ description: 'a ControlNet: a folder, or a name on the hub; several each with its --control' }),
  control: files.meta({ description: 'the picture that a ControlNet follows' }),
  controlScale: z.array(z.number().min(0)).default([]).meta({ description: 'how strongly; one for all, or one each' }),
  guess: shape.guess,
  ipAdapter: files.meta({ description: 'an IP-Adapter, FILE or FILE:SCALE; several each with its --ip-adapter-image' }),
  ipAdapterImage: files.meta({ description: 'the picture that an IP-Adapter shows the model beside the prompt' }),
  imageEncoder: z.string().optional().meta({ description: "the IP-Adapters' image encoder, where none is beside them" }),
  adapter: files.meta({ description: 'a T2I-Adapter, DIR or DIR:SCALE; several each with its --adapter-image' }),
  adapterImage: files.meta({ description: 'the picture that a T2I-Adapter follows' }),
  lora: files.meta({ description: 'a LoRA or LyCORIS file, FILE or FILE:WEIGHT; several are added' }),
  inversion: files.meta({ description: 'a learnt token, FILE or FILE:TOKEN' }),
  vae: z.string().optional().meta({ description: "another autoencoder than the model's" }),
  refiner: z.string().optional().meta({ description: 'XL: a second model that makes the last steps' }),
  switchAt: z.number().gt(0).lt(1).default(0.8).meta({ description: 'the share of the way at which it takes over' }),
  tokenizer: z.string().optional().meta({ description: "for single files: a folder with the family's tokenizer/" }),
  prediction: z.enum(['epsilon', 'v_prediction']).optional().meta({ description: 'for single files of Stable Diffusion 2' }),
  variant: z.string().optional().meta({ description: "which of a folder's weights, as fp16" }),
  quantize: z.enum(['int8', 'int4']).optional().meta({ description: 'smaller and faster weights, not quite the same picture' }),
  cache: z
    .string()
    .regex(/^(deep|first-block):[\d.]+$/, 'must be deep:INTERVAL or first-block:THRESHOLD')
    .optional()
    .meta({ description: 'keep deep features over steps: deep:2 renews every second, first-block:0.1 after so much change' }),
  lowMemory: z.boolean().default(false).meta({ description: 'one network in memory at a time' }),
  tiling: z.boolean().default(false).meta({ description: 'code large pictures in tiles' }),
  device: z.enum(['cpu', 'webgpu', 'cuda']).default('cpu').meta({ description: 'what runs the networks' }),
  threads: z.int().positive().optional().meta({ description: 'of the processor; all cores unless given' }),
  out: z
    .string()
    .endsWith('.png', 'must end in .png')
    .default('picture.png')
    .meta({ description: 'the picture to write; of several, the others as picture-1.png and so on' }),
  grid: z.boolean().default(false).meta({ description: 'several pictures as one, side by side' }),
  draw: z.boolean().default(true).meta({ description: 'do not show the picture in the terminal' }),
  json: z.boolean().default(false).meta({ description: 'print one line of JSON, draw nothing' }),
})
type Options = z.output<typeof options>

export const generate = defineCommand({
  name: 'generate',
  summary: 'pictures from a prompt, by Stable Diffusion 1, 2 or XL',
  description:
    "Makes the pictures that diffusers would make of a checkpoint for the same settings and seed: from a prompt, from a picture (--image), where a mask is white (--mask), along a map (--controlnet, --control). The model's class, and what is given, say which pipeline it is, and that pipeline's defaults hold. The settings are in the file: langevin info shows them.",
  positional: ['prompt'],
  options,
  examples: [
    ['langevin generate "two frogs on a pink background" --num 4 --grid', 'by the bundled model of 64×64 stickers'],
    ['langevin generate "a red fox" --model path/to/stable-diffusion --out fox.png', 'from a folder'],
    ['langevin generate "a red fox" --model org/name --scheduler dpm++ --steps 20', 'from the hub, with another sampler'],
    ['langevin generate "in winter" --model path/to/model --image fox.png --strength 0.6', 'from a picture'],
    ['langevin generate "a hat" --model path/to/model --image fox.png --mask head.png', 'a part of it repainted'],
  ],
  async run(given, io) {
    const target = resolve(given.out)
    if (!existsSync(dirname(target))) throw new UsageError(`--out: no such folder: ${dirname(target)}`)
    if (given.controlnet.length !== given.control.length)
      throw new UsageError(
        `--control: ${given.control.length} pictures for ${given.controlnet.length} --controlnet; give one each`,
      )
    for (const [flag, nets, pictures] of [
      ['--ip-adapter', given.ipAdapter, given.ipAdapterImage],
      ['--adapter', given.adapter, given.adapterImage],
    ] as const) {
      if (nets.length !== pictures.length)
        throw new UsageError(`${flag}-image: ${pictures.length} pictures for ${nets.length} ${flag}; give one each`)
    }
    const [
      { finish, loadStableDiffusion, parametersText },
      { drawInTerminal, imageGrid, imagesOf, savePng },
      { progress },
      { chooseDevice },
    ] = await Promise.all([
      import('../pipelines/index.ts'),
      import('../images/index.ts'),
      import('../training/logs/progress.ts'),
      import('../runtime/devices.ts'),
    ])
    const began = performance.now()
    if (given.device !== 'cpu') await chooseDevice(given.device)
    const signal = onInterrupt()
    const settings: GenerateOptions = { ...(await settingsOf(given)), signal }
    const sd = await loadStableDiffusion(given.model, loadOptionsOf(given))
    const sample = async (model: StableDiffusion, own: GenerateOptions) => {
      const bars: ReturnType<typeof progress>[] = []
      try {
        return await finish(model.generate(own), ({ done, total }) => {
          if (bars.length === 0) bars.push(progress({ total, stream: io.err }))
          bars[0]?.update(done)
        })
      } finally {
        bars[0]?.stop()
      }
    }
    try {
      const plan = sd.plan(settings)
      const pictures = await (given.refiner === undefined
        ? sample(sd, settings)
        : refined(sd, given, settings, sample, loadStableDiffusion))
      const [height, width] = pictures.shape.slice(2)
      const grid = given.grid && given.num > 1
      const made = (grid ? [imageGrid(pictures)] : imagesOf(pictures)).map((picture, k) => ({
        picture,
        path: k === 0 ? target : target.replace(/\.png$/, `-${k}.png`),
        settings: {
          Steps: plan.steps,
          Sampler: plan.scheduler.className,
          'CFG scale': plan.guidance,
          Seed: given.seed + k,
          Pictures: grid ? given.num : undefined,
          Size: `${width}x${height}`,
          Model: basename(given.model).replace(/\.safetensors$/, ''),
          'Denoising strength': given.image === undefined ? undefined : plan.strength,
          'Clip skip': given.clipSkip === undefined ? undefined : given.clipSkip + 1,
          ControlNet: given.controlnet.map((name) => basename(name)).join('; ') || undefined,
          'IP-Adapter': given.ipAdapter.map((name) => basename(name)).join('; ') || undefined,
          'T2I-Adapter': given.adapter.map((name) => basename(name)).join('; ') || undefined,
          Lora: given.lora.map((name) => basename(name)).join('; ') || undefined,
          Version: `langevin ${version()}`,
        },
      }))
      for (const { picture, path, settings: own } of made) {
        const parameters = parametersText({ prompt: given.prompt, negative: given.negative, settings: own })
        await savePng(path, picture, { text: { Software: `langevin ${version()}`, parameters } })
        if (given.draw && !given.json) await drawInTerminal(picture, { stream: io.out })
      }
      const result = made.map(({ path, settings: own }) => ({ file: path, ...own }))
      const seconds = (performance.now() - began) / 1000
      printResult(io, given.json, { pictures: result, seconds }, () => result.map((one) => one.file).join('\n'))
    } finally {
      await sd.release()
    }
  },
})

const loadOptionsOf = ({ cache, threads, ...given }: Options) =>
  ({
    device: given.device,
    ...(threads !== undefined && { threads }),
    variant: given.variant,
    tokenizer: given.tokenizer,
    prediction: given.prediction,
    vae: given.vae,
    quantize: given.quantize,
    cache: cache === undefined ? undefined : stepCacheOf(cache),
    lowMemory: given.lowMemory,
    keep: false,
    tiling: given.tiling,
    controlnets: given.controlnet,
    ipAdapters: given.ipAdapter.map((one) => scaled(one).name),
    imageEncoder: given.imageEncoder,
    adapters: given.adapter.map((one) => scaled(one).name),
    loras: given.lora.map((one) => {
      const { name, scale } = scaled(one)
      return { file: name, ...(scale !== undefined && { weight: scale }) }
    }),
    inversions: given.inversion.map((one) => {
      const [path, token] = parted(one, /./)
      return { file: path, ...(token !== undefined && { token }) }
    }),
  }) satisfies LoadOptions

/** deep:INTERVAL or first-block:THRESHOLD. */
function stepCacheOf(text: string): StepCache {
  const [kind, value] = parted(text, /./)
  return kind === 'deep' ? { kind, interval: Number(value) } : { kind: 'first-block', threshold: Number(value) }
}

/** FILE or FILE:NUMBER. */
function scaled(text: string): { readonly name: string; readonly scale?: number } {
  const [name, scale] = parted(text, /^[+-]?(\d+\.?\d*|\.\d+)$/)
  return { name, ...(scale !== undefined && { scale: Number(scale) }) }
}

/** FILE or FILE:VALUE; a file whose own name has the colon is a file. */
function parted(text: string, value: RegExp): [string, string?] {
  const cut = text.lastIndexOf(':')
  const after = text.slice(cut + 1)
  return cut < 1 || existsSync(text) || !value.test(after) ? [text] : [text.slice(0, cut), after]
}

/** The pipeline's options: pictures read, the scheduler's file too. */
async function settingsOf(given: Options): Promise<GenerateOptions> {
  const { decodeImage } = await import('../images/index.ts')
  const picture = async (path: string | undefined) => (path === undefined ? undefined : await decodeImage(path))
  const known = Object.entries(given).filter(([key, value]) => key in shape && value !== undefined)
  const scales = given.controlScale
  if (scales.length > 1 && scales.length !== given.control.length)
    throw new UsageError(`--control-scale: ${scales.length} for ${given.control.length} pictures; give one for all, or one each`)
  const [image, mask] = [await picture(given.image), await picture(given.mask)]
  const depth = given.depth === undefined ? undefined : await decodeImage(given.depth, { channels: 1 })
  const controls = await Promise.all(
    given.control.map(async (path, i) => {
      const scale = scales[i] ?? scales[0]
      return { picture: await decodeImage(path), ...(scale !== undefined && { scale }) }
    }),
  )
  const shown = (nets: readonly string[], pictures: readonly string[]) =>
    Promise.all(
      pictures.map(async (path, i) => ({ picture: await decodeImage(path), scale: scaled(nets[i] as string).scale ?? 1 })),
    )
  const imagePrompts = await shown(given.ipAdapter, given.ipAdapterImage)
  const adapters = await shown(given.adapter, given.adapterImage)
  return {
    ...(Object.fromEntries(known) as unknown as GenerateOptions),
    ...{ image, mask, depth },
    ...(controls.length > 0 && { controls }),
    ...(imagePrompts.length > 0 && { imagePrompts }),
    ...(adapters.length > 0 && { adapters }),
    ...(given.scheduler !== undefined && { scheduler: schedulerOf(given.scheduler) }),
  }
}

/** A name, or what a scheduler_config.json holds. */
function schedulerOf(text: string): GenerateOptions['scheduler'] {
  if (!text.endsWith('.json')) return text
  const { _class_name: name, ...config } = loadConfig(dirname(resolve(text)), basename(text))
  if (name === undefined) throw new UsageError(`--scheduler: ${text} has no _class_name, which says what scheduler it is for`)
  return { _class_name: name, ...config }
}

/** XL's base up to a share of the way, and from there its refiner. */
async function refined(
  base: StableDiffusion,
  given: Options,
  settings: GenerateOptions,
  sample: (model: StableDiffusion, options: GenerateOptions) => ReturnType<StableDiffusion['decode']>,
  open: typeof import('../pipelines/index.ts').loadStableDiffusion,
) {
  const latents = await sample(base, { ...settings, denoisingEnd: given.switchAt, output: 'latents' })
  await base.release()
  const refiner = await open(given.refiner as string, {
    ...loadOptionsOf(given),
    controlnets: [],
    ipAdapters: [],
    adapters: [],
    loras: [],
    inversions: [],
    vae: undefined,
  })
  try {
    const rest = { ...settings, controls: undefined, image: undefined, imagePrompts: undefined, adapters: undefined }
    return await sample(refiner, { ...rest, latents, denoisingStart: given.switchAt })
  } finally {
    await refiner.release()
  }
}
