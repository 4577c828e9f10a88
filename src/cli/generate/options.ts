import { z } from 'zod'
import { pageFlags } from './flags.ts'

const file = z.string()
const files = z.array(file).default([])
const numbers = z.array(z.number()).default([])

/** Flags of the pages' own options. */
export const ofPages = pageFlags()

/** How the model is opened. */
const opening = {
  model: z.string().default('stickers-t2i').meta({
    description: "a folder in diffusers' layout, a single-file checkpoint, a bundled model, or a name on the hub",
  }),
  controlnet: files.meta({ description: 'a ControlNet: a folder, or a name on the hub; several each with its --control' }),
  control: files.meta({ description: 'the control image of a ControlNet' }),
  controlScale: numbers.meta({ description: 'how strongly; one for all, or one each' }),
  controlStart: numbers.meta({ description: 'the share of the steps from which a ControlNet acts; one for all, or one each' }),
  controlEnd: numbers.meta({ description: 'the share of the steps until which it acts' }),
  ipAdapter: files.meta({ description: 'an IP-Adapter, FILE or FILE:SCALE; several each with its --ip-adapter-image' }),
  ipAdapterImage: files.meta({ description: 'the picture that an IP-Adapter shows the model beside the prompt' }),
  imageEncoder: z.string().optional().meta({ description: "the IP-Adapters' image encoder, where none is beside them" }),
  adapter: files.meta({ description: 'a T2I-Adapter, DIR or DIR:SCALE; several each with its --adapter-image' }),
  adapterImage: files.meta({ description: 'the control image of a T2I-Adapter' }),
  lora: files.meta({ description: 'a LoRA or LyCORIS file, FILE or FILE:WEIGHT; several are added' }),
  inversion: files.meta({ description: 'a textual-inversion embedding, FILE or FILE:TOKEN' }),
  vae: z.string().optional().meta({ description: "another autoencoder than the model's" }),
  refiner: z.string().optional().meta({ description: 'XL: a second model that makes the last steps' }),
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
}

/** What becomes of the result. */
const writing = {
  out: file
    .regex(/\.png$/i, 'must end in .png')
    .default('picture.png')
    .meta({ description: 'the picture to write; of several, the others as picture-1.png and so on' }),
  grid: z.boolean().default(false).meta({ description: 'several pictures as one, side by side' }),
  draw: z.boolean().default(true).meta({ description: 'do not show the picture in the terminal' }),
  json: z.boolean().default(false).meta({ description: 'print one line of JSON, draw nothing' }),
}

const shape = Object.fromEntries([...ofPages].map(([name, { schema }]) => [name, schema]))
export const options = z.object({
  ...shape,
  prompt: z.string().optional().meta({ description: 'what the picture shows' }),
  promptText: z.string().optional().meta({ description: 'the prompt, where none stands by itself; also --prompt' }),
  ...opening,
  ...writing,
})

const { shape: known } = z.object({ ...opening, ...writing })
export type Options = z.output<z.ZodObject<typeof known>> & {
  readonly prompt?: string
  readonly promptText?: string
} & Readonly<Record<string, unknown>>

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
  '--clean-caption': '--clean',
  '--no-clean-caption': '--no-clean',
  '--use-resolution-binning': '--binning',
  '--no-use-resolution-binning': '--no-binning',
}
