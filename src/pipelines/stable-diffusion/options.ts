import { z } from 'zod'
import { NdArray } from '../../runtime/ndarray.ts'
import { regionModes, regionOption } from '../conditioning/regions.ts'
import { schedulerOption, seedOption } from '../options.ts'
import type { PictureTask } from './families.ts'

const count = z.int().positive()
const share = z.number().min(0).max(1)
const pair = z.tuple([z.int(), z.int()])
/** f32 [3, H, W] in [−1, 1], as `decodeImage` gives it. */
const picture = z.instanceof(NdArray)

/** No flag comes of these by itself: programs give them, or a command gathers them from several flags. */
const apart = { apart: true } as const

/** Embedded texts, as diffusers' pipelines take them. */
const embeds = picture.optional().meta(apart)

/** One schema gives the options' type, the command's flags and their help. Where nothing is given, diffusers' pipeline decides. */
export const generateOptions = z.object({
  prompt: z.string().meta({ description: 'what the picture shows' }),
  negative: z.string().optional().meta({ description: 'what it does not show' }),
  prompt2: z.string().optional().meta({ description: 'XL: what its second text encoder reads; the prompt unless given' }),
  negative2: z.string().optional().meta({ description: 'XL: the negative prompt of its second text encoder' }),
  steps: count.optional().meta({ description: "sampling steps; as many as the model's own pipeline takes unless given" }),
  timesteps: z.array(z.number()).min(1).optional().meta({ description: 'timesteps of its own, falling, instead of steps' }),
  sigmas: z.array(z.number()).min(1).optional().meta({ description: 'noise levels of its own, falling, instead of steps' }),
  guidance: z.number().optional().meta({ description: 'how strongly the prompt guides; 1 or less is not at all' }),
  seed: seedOption,
  width: count.optional().meta({ description: "in pixels; the model's own unless given" }),
  height: count.optional().meta({ description: 'in pixels' }),
  num: count.default(1).meta({ description: 'how many pictures, of the seeds seed, seed + 1, …' }),
  scheduler: schedulerOption,
  strength: share.optional().meta({ description: 'how far a given picture may change' }),
  imageGuidance: z.number().optional().meta({ description: 'how strongly the picture guides an instructed edit' }),
  noiseLevel: z.int().min(0).optional().meta({ description: 'noise that the ×4 upscaler adds to its picture' }),
  rescale: share.default(0).meta({ description: 'how far guidance is kept from burning colours out' }),
  clipSkip: z.int().min(0).optional().meta({ description: "layers of the text encoder left out at the prompt's end" }),
  eta: share.default(0).meta({ description: 'noise that ddim and tcd renew' }),
  syntax: z.enum(['a1111', 'compel', 'plain']).default('a1111').meta({
    description: 'how the prompt says what weighs more: (word:1.2), word++, or, as in diffusers, not at all and cut at 75 tokens',
  }),
  /** Lists that `__name__` draws from, and with them, even none, choices as `{a|b}`: made anew for each picture's seed. */
  wildcards: z.record(z.string(), z.array(z.string())).optional().meta(apart),
  /** Of one text for all pictures, instead of the prompt: [1, tokens, width], and for XL the pooled one, [1, width]. */
  promptEmbeds: embeds,
  negativePromptEmbeds: embeds,
  pooledPromptEmbeds: embeds,
  negativePooledPromptEmbeds: embeds,
  pagScale: z.number().min(0).default(0).meta({ description: 'perturbed-attention guidance: how far from the worse prediction' }),
  pagAdaptive: z.number().min(0).default(0).meta({ description: 'how fast that falls with the timestep' }),
  pagLayers: z.array(z.string().min(1)).min(1).default(['mid']).meta({
    description: "in which self-attentions: parts of the layers' names, as mid or up_blocks.1",
  }),
  freeu: z.tuple([z.number(), z.number(), z.number(), z.number()]).optional().meta({
    description: 'FreeU, B1,B2,S1,S2: the backbone raised and the skips lowered, as 1.5,1.6,0.9,0.2',
  }),
  hires: z.number().gt(1).max(8).optional().meta({ description: 'a second pass, so many times as large' }),
  hiresSteps: count.optional().meta({ description: 'steps of the second pass; as many as of the first unless given' }),
  hiresStrength: share.default(0.7).meta({ description: 'how far the second pass may change the first' }),
  resizeMode: z.enum(['stretch', 'crop', 'fill']).default('stretch').meta({
    description: 'how a given picture comes to the size: as it is, covering it, or within it with its edges drawn out',
  }),
  fill: z.enum(['original', 'fill', 'noise', 'nothing']).default('original').meta({
    description: 'what the masked part begins with: the picture, the colours around it, noise, or nothing',
  }),
  paste: z.boolean().default(false).meta({ description: 'lay the result over the given picture, whose rest stays as it is' }),
  image: picture.optional().meta({ media: 'picture', description: 'a picture to start from' }),
  /** f32 [1|3, H, W] in [−1, 1]: white is repainted. */
  mask: picture.optional().meta({ media: 'picture', description: 'a picture as large: what is white is repainted' }),
  /** Pixels around the mask's box to which the work is cropped; by default the whole picture is worked on. */
  maskPadding: z.int().min(0).optional().meta({ description: 'work on the mask and so many pixels around it, enlarged' }),
  /** Deviation in pixels of a Gaussian over the mask. */
  maskBlur: z.int().min(0).default(0).meta({ description: "pixels by which the mask's edge is softened" }),
  /** f32 [1|3, H, W] in [−1, 1], of any range: the depth that the depth model keeps. */
  depth: picture.optional().meta({ media: 'map', description: 'the depth map that a depth model keeps' }),
  /** A picture for each ControlNet, how strongly it acts, and from which share of the way to which. */
  controls: z
    .array(z.object({ picture, scale: z.number().optional(), start: share.default(0), end: share.default(1) }))
    .optional()
    .meta(apart),
  /** A picture for each IP-Adapter, and how strongly it acts beside the text. */
  imagePrompts: z
    .array(z.object({ picture, scale: z.number().default(1) }))
    .optional()
    .meta(apart),
  /** A picture for each T2I-Adapter, and how strongly it acts. */
  adapters: z
    .array(z.object({ picture, scale: z.number().default(1) }))
    .optional()
    .meta(apart),
  /** Prompts for parts of the picture, beside the prompt of the whole. */
  regions: z.array(regionOption).min(1).optional().meta(apart),
  regionMode: z.enum(regionModes).default('attention').meta({
    description: 'how regions act: by what each pixel sees of the prompts, or by predictions that are put together (slower)',
  }),
  regionBase: share.default(0.2).meta({ description: 'how much the prompt of the whole picture counts within regions' }),
  guess: z.boolean().default(false).meta({ description: 'let ControlNets work without a prompt' }),
  /** XL: the size and crop that the picture pretends to come from, height and width, and the size aimed at. */
  originalSize: pair.optional().meta({ description: 'XL: the size that the picture pretends to come from, HEIGHT,WIDTH' }),
  crop: pair.default([0, 0]).meta({ description: 'XL: where it pretends to be cut out, TOP,LEFT' }),
  targetSize: pair.optional().meta({ description: 'XL: the size that it pretends to be made for, HEIGHT,WIDTH' }),
  negativeOriginalSize: pair.optional().meta({ description: 'XL: the same for the negative prompt' }),
  negativeCrop: pair.default([0, 0]).meta({ description: 'XL: the same for the negative prompt' }),
  negativeTargetSize: pair.optional().meta({ description: 'XL: the same for the negative prompt' }),
  aesthetic: z.number().default(6).meta({ description: "XL's refiner: the score that it aims at" }),
  negativeAesthetic: z.number().default(2.5).meta({ description: "XL's refiner: the score that it turns from" }),
  /** XL, opened with a refiner: the share of the way at which that takes over. */
  switchAt: z.number().gt(0).lt(1).default(0.8).meta({ description: 'XL: the share of the way at which the refiner takes over' }),
  /** XL: ends with the latents at this share of the way, for a refiner that starts there. */
  denoisingEnd: share.optional().meta(apart),
  denoisingStart: share.optional().meta(apart),
  /**
   * Latents [num, C, h, w]. In text to image the initial noise, of deviation 1; with `strength` or `denoisingStart`, what stands for a
   * picture, as what `denoisingEnd` left.
   */
  latents: picture.optional().meta(apart),
  /** Gives the latents and not the pictures. */
  output: z.enum(['pictures', 'latents']).default('pictures').meta(apart),
})

export type GenerateOptions = z.input<typeof generateOptions> & {
  /** Stops between two runs of the network, with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** The options with the defaults filled in. */
export type Settings = z.output<typeof generateOptions> & { readonly signal?: AbortSignal | undefined }

type OptionName = keyof typeof generateOptions.shape

/** What every task takes. */
const always = [
  'prompt',
  'negative',
  'steps',
  'guidance',
  'seed',
  'width',
  'height',
  'num',
  'scheduler',
  'eta',
  'rescale',
  'timesteps',
  'sigmas',
  'freeu',
] as const
const texts = ['clipSkip', 'syntax', 'output', 'wildcards', 'promptEmbeds', 'negativePromptEmbeds'] as const
const conditioned = [
  ...(['controls', 'imagePrompts', 'adapters', 'guess', 'pagScale', 'pagAdaptive', 'pagLayers'] as const),
  ...(['regions', 'regionMode', 'regionBase'] as const),
]
const shares = ['denoisingStart', 'denoisingEnd', 'latents'] as const

/** What each task takes beside. */
const taken: Readonly<Record<PictureTask, readonly OptionName[]>> = {
  'text-to-image': [...texts, ...conditioned, 'denoisingEnd', 'latents', 'hires', 'hiresSteps', 'hiresStrength'],
  'image-to-image': [...texts, ...conditioned, ...shares, 'image', 'strength', 'resizeMode'],
  inpaint: [
    ...[...texts, ...conditioned, ...shares, 'image', 'strength', 'resizeMode'],
    ...['mask', 'maskPadding', 'maskBlur', 'fill', 'paste'],
  ] as OptionName[],
  pix2pix: [...texts, 'image', 'imageGuidance', 'denoisingEnd'],
  upscale: [...texts, 'image', 'noiseLevel'],
  depth: [...texts, 'image', 'depth', 'strength'],
  variation: ['image', 'output'],
}

/** What XL takes beside: a second prompt, sizes and crops. */
const ofXl: readonly OptionName[] = [
  ...['prompt2', 'negative2', 'originalSize', 'crop', 'targetSize', 'switchAt'],
  ...['negativeOriginalSize', 'negativeCrop', 'negativeTargetSize', 'aesthetic', 'negativeAesthetic'],
  ...['pooledPromptEmbeds', 'negativePooledPromptEmbeds'],
] as OptionName[]

/** The options of a page that does these tasks. */
export function optionsOf(xl: boolean, tasks: readonly PictureTask[]): z.ZodObject {
  const names = new Set<OptionName>([...always, ...tasks.flatMap((task) => taken[task]), ...(xl ? ofXl : [])])
  const shape = Object.entries(generateOptions.shape).filter(([name]) => names.has(name as OptionName))
  return z.object(Object.fromEntries(shape))
}

/** Where nothing is said. */
export const defaultSettings: Settings = generateOptions.parse({ prompt: '' })

/** What options are for that a task may have no use for. */
const purposes: Readonly<Partial<Record<OptionName, string>>> = {
  strength: 'a picture to start from',
  mask: 'a picture to repaint',
  maskPadding: 'a mask',
  maskBlur: 'a mask',
  fill: 'a mask',
  paste: 'a mask',
  resizeMode: 'a picture to start from',
  hires: 'text to image',
  regionMode: 'regions',
  regionBase: 'regions',
  hiresSteps: 'hires',
  hiresStrength: 'hires',
  denoisingStart: 'a picture or latents to start from',
  imageGuidance: 'an InstructPix2Pix model',
  noiseLevel: 'the ×4 upscaler',
  depth: 'the depth model',
}

/** Options that are given and that a task has no use for, each with what it is for. */
export function idleOptions(settings: Settings, task: PictureTask, xl: boolean): string[] {
  const used = new Set<string>([...always, ...taken[task], ...(xl ? ofXl : []), 'syntax', 'output', 'signal', 'prompt'])
  return Object.entries(settings).flatMap(([name, value]) => {
    if (used.has(name) || value === undefined) return []
    const plain = defaultSettings[name as OptionName]
    if (plain !== undefined && JSON.stringify(value) === JSON.stringify(plain)) return []
    const purpose = purposes[name as OptionName] ?? (ofXl.includes(name as OptionName) ? 'XL' : undefined)
    return [purpose ? `${name} (${purpose})` : name]
  })
}
