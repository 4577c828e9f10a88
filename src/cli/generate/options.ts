import { z } from 'zod'
import { preprocessorNames } from '../../images/control/index.ts'
import { layoutWord } from './controls.ts'
import { pageFlags } from './flags.ts'
import { endings } from './target.ts'

const file = z.string()
const files = z.array(file).default([])
const numbers = z.array(z.number()).default([])

/** Flags of the pages' own options. */
export const ofPages = pageFlags(['pictures', 'frames'])

/** How the model is opened. */
const opening = {
  model: z.string().optional().meta({
    description:
      "a folder in diffusers' layout, a single-file checkpoint, a bundled model, or a name on the hub (default stickers-t2i)",
  }),
  controlnet: files.meta({ description: 'a ControlNet: a folder, or a name on the hub; several each with its --control' }),
  control: files.meta({ description: 'the control image of a ControlNet' }),
  preprocess: z
    .array(z.enum([...preprocessorNames, layoutWord, 'none']))
    .default([])
    .meta({
      description:
        'make the control image of the picture that --control names; one for all, or one each. layout: --control is objects of the sticker scenes with their boxes, "fox@0,0.2,0.5,0.7; star@0.5,0,1,0.5"',
    }),
  controlOut: file
    .regex(/\.png$/i, 'must end in .png')
    .optional()
    .meta({ description: 'write the control image, to look at; without a prompt nothing else is made' }),
  controlScale: numbers.meta({ description: 'how strongly; one for all, or one each' }),
  controlStart: numbers.meta({ description: 'the share of the steps from which a ControlNet acts; one for all, or one each' }),
  controlEnd: numbers.meta({ description: 'the share of the steps until which it acts' }),
  ipAdapter: files.meta({ description: 'an IP-Adapter, FILE or FILE:SCALE; several each with its --ip-adapter-image' }),
  ipAdapterImage: files.meta({ description: 'the picture that an IP-Adapter shows the model beside the prompt' }),
  imageEncoder: z.string().optional().meta({ description: "the IP-Adapters' image encoder, where none is beside them" }),
  reference: files.meta({
    description: 'a picture that the prompt names, the first [ref#1], the second [ref#2], for models that mix text and pictures',
  }),
  adapter: files.meta({ description: 'a T2I-Adapter, DIR or DIR:SCALE; several each with its --adapter-image' }),
  adapterImage: files.meta({ description: 'the control image of a T2I-Adapter' }),
  region: z.array(z.string()).default([]).meta({
    description:
      'a prompt for a part of the picture, PROMPT@LEFT,TOP,RIGHT,BOTTOM in shares of the sides, or PROMPT@MASK.png; :WEIGHT behind it',
  }),
  lora: files.meta({ description: 'a LoRA or LyCORIS file, FILE or FILE:WEIGHT; several are added' }),
  loraDir: file
    .optional()
    .meta({ description: 'where <lora:name:0.8> in a prompt is looked for; beside the model unless given' }),
  hiresUpscaler: z
    .string()
    .optional()
    .meta({ description: 'of --hires: latent (unless given), lanczos, or a model of langevin upscale' }),
  inversion: files.meta({ description: 'a textual-inversion embedding, FILE or FILE:TOKEN' }),
  vae: z.string().optional().meta({ description: "another autoencoder than the model's" }),
  prior: z
    .string()
    .optional()
    .meta({ description: "of a decoder without one, or in place of its own: the prior's folder, or its name on the hub" }),
  refiner: z.string().optional().meta({ description: 'XL: a second model that makes the last steps' }),
  tokenizer: z.string().optional().meta({ description: "for single files: a folder with the family's tokenizer/" }),
  prediction: z.enum(['epsilon', 'v_prediction']).optional().meta({ description: 'for single files of Stable Diffusion 2' }),
  // biome-ignore lint/suspicious/noThenProperty: a flag's name, and no promise's
  then: files.meta({
    description:
      'a later stage of a cascade: a model that goes on from the pictures of the one before, as IF-II after IF-I, with options of its own: "MODEL; steps=30; noise-level=100". Its prompts and seed are those of the first stage, which the other flags are for. Each stage begins with the seed anew; pictures go on unrounded; one model is in memory at a time',
  }),
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
}

/** What a run takes from files, and runs after one another. */
const running = {
  from: file.optional().meta({
    description:
      "a picture whose file says how it was made (also AUTOMATIC1111's and ComfyUI's): what is not given is as there. With --to: a text that the picture is changed away from",
  }),
  wildcards: file.optional().meta({
    description: 'a folder of lists, NAME.txt: __NAME__ in a prompt is one of its lines, {a|b} one of these, by the seed',
  }),
  choices: z.boolean().default(false).meta({ description: '{a|b} in a prompt is one of these, by the seed, without lists' }),
  promptEmbeds: file.optional().meta({
    description:
      'a safetensors file with prompt_embeds, and negative_, pooled_ and negative_pooled_prompt_embeds where they are needed',
  }),
  imageEmbeds: file.optional().meta({
    description: "Kandinsky: a safetensors file with image_embeds and negative_image_embeds, as a prior's run writes it",
  }),
  latents: file
    .optional()
    .meta({ description: 'a safetensors file with the initial noise, its first tensor or the one named latents' }),
  candidates: z.int().positive().optional().meta({
    description: 'make so many pictures, and keep the --num of them that fit the prompt best; with --grid all, the best first',
  }),
  rank: z.string().optional().meta({
    description:
      "the CLIP that ranks --candidates: a folder, a bundled model, a name on the hub, or a file of OpenAI's; the model's own unless given",
  }),
  prompts: file.optional().meta({ description: 'a file of prompts, one a line: a run each' }),
  xyz: z
    .string()
    .optional()
    .meta({ description: 'a grid of runs, OPTION=VALUE,VALUE for up to three options: "steps=10,20; guidance=1,4"' }),
}

/** What becomes of the result. */
const writing = {
  out: file
    .regex(endings, 'must end in .png, .jpg, .jpeg or .webp; a film in .mp4, .webm, .webp or .gif, or in / for a folder of PNGs')
    .optional()
    .meta({
      description:
        'the picture to write, .png, .jpg or .webp; of several, the others as picture-1.png and so on. A film: .mp4, .webm, .webp or .gif, or DIR/ for numbered PNGs (default picture.png, of a film film.mp4)',
    }),
  quality: z.int().min(1).max(100).optional().meta({ description: 'of a JPEG, WebP, MP4 or WebM, 1 to 100 (default 90)' }),
  upscale: z
    .string()
    .optional()
    .meta({ description: 'enlarge what was made: lanczos or a model of langevin upscale, NAME or NAME:SCALE; none' }),
  grid: z.boolean().default(false).meta({ description: 'several pictures as one, side by side' }),
  draw: z.boolean().default(true).meta({ description: 'do not show the picture in the terminal' }),
  preview: z
    .int()
    .positive()
    .optional()
    .meta({ description: 'show the picture so far at every so manieth step, where the terminal can' }),
  json: z.boolean().default(false).meta({ description: 'print one line of JSON, draw nothing' }),
}

const shape = Object.fromEntries([...ofPages].map(([name, { schema }]) => [name, schema]))
export const options = z.object({
  ...shape,
  prompt: z.string().optional().meta({ description: 'what the picture shows' }),
  promptText: z.string().optional().meta({ description: 'the prompt, where none stands by itself; also --prompt' }),
  ...opening,
  ...running,
  ...writing,
})

const { shape: known } = z.object({ ...opening, ...running, ...writing })
/** The flags as they are given. */
export type Given = z.output<z.ZodObject<typeof known>> & {
  readonly prompt?: string
  readonly promptText?: string
} & Readonly<Record<string, unknown>>
/** With what a picture's settings add. */
export type Options = Given & {
  readonly model: string
  /** Options that the picture gave. */
  readonly remembered?: readonly string[]
}

/** Names that flags have in diffusers' scripts. */
export const aliases: Readonly<Record<string, string>> = {
  '--prompt': '--prompt-text',
  '--negative-prompt': '--negative',
  '--prompt-2': '--prompt2',
  '--negative-prompt-2': '--negative2',
  '--prompt-3': '--prompt3',
  '--negative-prompt-3': '--negative3',
  '--max-sequence-length': '--max-length',
  '--skip-guidance-layers': '--skip-layers',
  '--skip-layer-guidance-scale': '--skip-scale',
  '--skip-layer-guidance-start': '--skip-start',
  '--skip-layer-guidance-stop': '--skip-stop',
  '--num-inference-steps': '--steps',
  '--guidance-scale': '--guidance',
  '--num-images-per-prompt': '--num',
  '--num-videos-per-prompt': '--num',
  '--num-frames': '--frames',
  '--video-length': '--frames',
  '--use-dynamic-cfg': '--dynamic',
  '--guidance-rescale': '--rescale',
  '--image-guidance-scale': '--image-guidance',
  '--crops-coords-top-left': '--crop',
  '--controlnet-conditioning-scale': '--control-scale',
  '--control-guidance-start': '--control-start',
  '--control-guidance-end': '--control-end',
  '--padding-mask-crop': '--mask-padding',
  '--aesthetic-score': '--aesthetic',
  '--negative-aesthetic-score': '--negative-aesthetic',
  '--class-labels': '--label',
  '--original-image': '--original',
  '--mask-image': '--mask',
  '--clean-caption': '--clean',
  '--no-clean-caption': '--no-clean',
  '--use-resolution-binning': '--binning',
  '--no-use-resolution-binning': '--no-binning',
}
