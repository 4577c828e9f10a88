import { existsSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import type { PictureSettings } from '../../images/index.ts'
import type { Io } from '../command.ts'
import { UsageError } from '../errors.ts'
import type { Given, Options } from './options.ts'
import { regionTexts } from './regions.ts'

/** What a picture's settings say of a run: flags that are not given, and what is worth telling. */
export interface Remembered {
  /** By the names of flags' options, as the flags' own texts and numbers. */
  readonly options: Readonly<Record<string, unknown>>
  /** What the picture was made with and a run cannot take from it. */
  readonly notes: readonly string[]
}

type Read = (text: string) => unknown

const number: Read = (text) => (text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : undefined)
const word: Read = (text) => text
const numbers: Read = (text) => text.split(' ').map(Number)
const words: Read = (text) => text.split(' ')
const tuple: Read = (text) => text.split(' ').join(',')
const yes: Read = (text) => text === 'true' || undefined
const no: Read = (text) => (text === 'no' ? false : undefined)

/** The words of a picture's settings that are options of a run, each with its option. */
const known: Readonly<Record<string, readonly [option: string, read: Read]>> = {
  Steps: ['steps', number],
  'CFG scale': ['guidance', number],
  Seed: ['seed', number],
  Timesteps: ['timesteps', numbers],
  Sigmas: ['sigmas', numbers],
  'Denoising strength': ['strength', number],
  'Image CFG scale': ['imageGuidance', number],
  'Noise level': ['noiseLevel', number],
  'Embedding noise': ['noiseLevel', number],
  'Prior steps': ['priorSteps', number],
  'Prior CFG scale': ['priorGuidance', number],
  Spacing: ['spacing', word],
  'CLIP guidance': ['clipGuidance', number],
  'Super-resolution spacing': ['superResSpacing', word],
  'Prior candidates': ['priorCandidates', number],
  'Prior strength': ['priorStrength', number],
  'Prior temperature': ['priorTemperature', number],
  'Text dropped': ['dropText', yes],
  'Super-resolution steps': ['superResSteps', number],
  'Clip skip': ['clipSkip', (text) => (Number(text) >= 1 ? Number(text) - 1 : undefined)],
  'Prompt syntax': ['syntax', word],
  'CFG rescale': ['rescale', number],
  Eta: ['eta', number],
  Temperature: ['temperature', number],
  'Top-k': ['topK', number],
  'PAG scale': ['pagScale', number],
  'PAG adaptive scale': ['pagAdaptive', number],
  'PAG layers': ['pagLayers', words],
  FreeU: ['freeu', tuple],
  'Hires upscale': ['hires', number],
  'Hires steps': ['hiresSteps', number],
  'Resize mode': ['resizeMode', (text) => (/^(stretch|crop|fill)$/.test(text) ? text : undefined)],
  'Masked content': ['fill', (text) => (/^(original|fill|noise|nothing)$/.test(text) ? text : undefined)],
  'Pasted back': ['paste', yes],
  'Mask blur': ['maskBlur', number],
  'Masked area padding': ['maskPadding', number],
  'Second prompt': ['prompt2', word],
  'Second negative prompt': ['negative2', word],
  'Original size': ['originalSize', tuple],
  Crop: ['crop', tuple],
  'Target size': ['targetSize', tuple],
  'Negative original size': ['negativeOriginalSize', tuple],
  'Negative crop': ['negativeCrop', tuple],
  'Negative target size': ['negativeTargetSize', tuple],
  'Aesthetic score': ['aesthetic', number],
  'Negative aesthetic score': ['negativeAesthetic', number],
  'Guess mode': ['guess', yes],
  Regions: ['region', regionTexts],
  'Region mode': ['regionMode', word],
  'Region base': ['regionBase', number],
  'Refiner switch at': ['switchAt', number],
  'Step cache': ['cache', word],
  Quantization: ['quantize', (text) => (/^int[48]$/.test(text) ? text : undefined)],
  'VAE tiling': ['tiling', yes],
  'Hires upscaler': ['hiresUpscaler', (text) => (text === 'Latent' ? 'latent' : text)],
  Upscaler: ['upscale', word],
  'Prompt cleaned': ['clean', no],
  Frames: ['frames', number],
  FPS: ['fps', number],
  'Temporal attention': ['temporal', no],
  'Dynamic guidance': ['dynamic', yes],
  'Prompt tokens': ['maxLength', number],
  Watermark: ['watermark', no],
}

/** Words that are read together with others, or say nothing that a run could take. */
const silent = new Set([
  ...['Size', 'Sampler', 'Sampler options', 'Schedule type', 'Model', 'Model hash', 'Version', 'Lora', 'VAE', 'Refiner', 'Prior'],
  ...['Lora hashes', 'VAE hash', 'Pictures', 'Candidates', 'Ranked by', 'CLIP score', 'CLIP scores', 'Candidate order'],
])

/** What needs more than a word: the flags that bring it. */
const needing: Readonly<Record<string, string>> = {
  ControlNet: '--controlnet and --control',
  'IP-Adapter': '--ip-adapter and --ip-adapter-image',
  'T2I-Adapter': '--adapter and --adapter-image',
  References: '--reference',
  'Initial noise': '--latents',
  'Prompt embeddings': '--prompt-embeds',
  'Picture embeddings': '--image-embeds',
  'Textual inversion': '--inversion',
  'Gone on from': '--extend',
  Regions: '--region',
}

/** Their scales belong to networks that are named again. */
const besides = /^(Control (scales|starts|ends)|(IP|T2I)-Adapter scales)$/

/** A picture's settings as options; those of flags that are given are left to them. */
export async function remembered({ prompt, negative, settings }: PictureSettings, given: Given): Promise<Remembered> {
  const options: Record<string, unknown> = { prompt, ...(negative !== undefined && { negative }) }
  const notes: string[] = []
  const unknown: string[] = []
  for (const [name, text] of Object.entries(settings)) {
    const entry = Object.hasOwn(known, name) ? known[name] : undefined
    const value = entry?.[1](text)
    if (entry && value !== undefined) options[entry[0]] = value
    else if (Object.hasOwn(needing, name)) notes.push(`${name} ${text}: give ${needing[name]} again`)
    else if (/^Stage \d+$/.test(name)) notes.push(`${name}, ${text}: give --then again`)
    else if (!silent.has(name) && !besides.test(name)) unknown.push(`${name}: ${text}`)
  }
  const [, width, height] = /^(\d+)x(\d+)$/.exec(settings.Size ?? '') ?? []
  // The size of what the ×4 upscaler made is not that of what it is given.
  if (width !== undefined && settings['Noise level'] === undefined)
    Object.assign(options, { width: Number(width), height: Number(height) })
  if (settings['Batch size'] !== undefined)
    notes.push(`it is picture ${settings['Batch pos']} of ${settings['Batch size']}: give --num ${settings['Batch size']}`)
  if (settings.Pictures !== undefined) Object.assign(options, { num: number(settings.Pictures), grid: true })
  await sampler(settings, options, unknown)
  // A first pass from text has no strength of its own.
  if (options.hires !== undefined) {
    if (options.strength !== undefined) options.hiresStrength = options.strength
    delete options.strength
  } else if (given.image === undefined) {
    if (options.strength !== undefined) notes.push('the picture that it was made from is not in the file: give --image')
    for (const name of ['strength', 'resizeMode']) delete options[name]
  }
  if (given.mask === undefined) for (const name of ['fill', 'paste', 'maskBlur', 'maskPadding']) delete options[name]
  if (options.timesteps !== undefined || options.sigmas !== undefined) delete options.steps
  if (given.steps !== undefined || given.timesteps !== undefined || given.sigmas !== undefined)
    for (const name of ['steps', 'timesteps', 'sigmas']) delete options[name]
  if (!/^langevin/.test(settings.Version ?? '')) notes.push('another program made it, whose noise for a seed may be another')
  if (unknown.length > 0) notes.push(`not followed: ${unknown.join(', ')}`)
  return { options, notes }
}

async function sampler(
  settings: PictureSettings['settings'],
  options: Record<string, unknown>,
  unknown: string[],
): Promise<void> {
  const { Sampler: name, 'Sampler options': fields, 'Schedule type': schedule } = settings
  if (name === undefined) return
  const { samplerConfig } = await import('../../diffusion/index.ts')
  const whole = schedule === undefined || /^automatic$/i.test(schedule) ? name : `${name} ${schedule}`
  try {
    const { _class_name } = samplerConfig(whole)
    const own: unknown = fields === undefined ? undefined : JSON.parse(fields)
    options.scheduler = typeof own === 'object' && own !== null ? { ...own, _class_name } : whole
  } catch {
    unknown.push(`Sampler: ${whole}`)
  }
}

const isGiven = (value: unknown): boolean =>
  value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0)

/**
 * The flags with what a picture's settings say where they say nothing; what cannot be followed is told.
 *
 * @throws UsageError for a picture without settings, and for one whose model has to be named; ImageError
 */
export async function fromPicture(given: Given, io: Io): Promise<Options> {
  const file = given.from
  // With a text to go to, it is the text to come from.
  if (file !== undefined && given.to !== undefined)
    return { ...given, from: undefined, fromText: file, model: given.model ?? 'stickers-t2i' }
  if (file === undefined) return { ...given, model: given.model ?? 'stickers-t2i' }
  const found = await settingsIn(file)
  if (!found) throw new UsageError(`--from: ${file} says nothing of how it was made`)
  const { options, notes } = await remembered(found, given)
  const model = given.model ?? (await modelNamed(found.settings.Model, file))
  const files = await besideModel(found.settings, { ...given, model })
  const flags = Object.fromEntries(Object.entries(given).filter(([, value]) => isGiven(value)))
  const all: Record<string, unknown> = { ...options, ...files.options }
  if (given.promptText !== undefined) delete all.prompt
  for (const note of [...notes, ...files.notes]) io.err.write(`--from ${basename(file)}: ${note}\n`)
  return { ...given, ...all, ...flags, model, remembered: Object.keys(all).filter((name) => !(name in flags)) }
}

/** The settings in a picture's or a film's file. */
async function settingsIn(file: string): Promise<PictureSettings | undefined> {
  const { parseParameters, readSettings } = await import('../../images/index.ts')
  if (!/\.(mp4|webm)$/i.test(file) || !existsSync(file)) return readSettings(file)
  const { readFilmText } = await import('../../video/index.ts')
  const text = (await readFilmText(readFileSync(file), file)).get('parameters')
  return text === undefined ? undefined : parseParameters(text)
}

/** A model by the name in a picture: one of the bundled ones, or one on the hub. */
async function modelNamed(name: string | undefined, file: string): Promise<string> {
  const { bundledModels } = await import('../../pipelines/open/zoo.ts')
  if (name !== undefined && (bundledModels().includes(name) || /^[\w.-]+\/[\w.-]+$/.test(name))) return name
  throw new UsageError(`--from: ${basename(file)} was made by ${name ?? 'a model that it does not name'}: give --model`)
}

/** Files that a picture names by their last part: looked for in the folder of LoRAs and beside the model. */
async function besideModel(
  settings: PictureSettings['settings'],
  given: Options & { readonly model: string },
): Promise<Remembered> {
  const { promptLora } = await import('../../pipelines/stable-diffusion/prompt-loras.ts')
  const options: Record<string, unknown> = {}
  const notes: string[] = []
  const wanted = (settings.Lora ?? '').split('; ').filter((one) => one !== '')
  if (wanted.length > 0 && given.lora.length === 0) {
    const lora: string[] = []
    for (const one of wanted) {
      const [, name = one, weight = ''] = /^(.*?)(:[-+.\d]+)?$/.exec(one) ?? []
      const path = await promptLora(name, { place: given.model, loraDir: given.loraDir }).catch(() => undefined)
      if (path === undefined) notes.push(`Lora ${one}: not found beside the model: give --lora, or --lora-dir`)
      else lora.push(path + weight)
    }
    options.lora = lora
  }
  for (const [name, option] of [
    ['VAE', 'vae'],
    ['Refiner', 'refiner'],
    ['Prior', 'prior'],
  ] as const) {
    const value = settings[name]
    if (value === undefined || given[option] !== undefined) continue
    if (value.includes('/') && !existsSync(value)) options[option] = value
    else notes.push(`${name} ${value}: give --${option}`)
  }
  if (settings.Refiner !== undefined && given.refiner === undefined && options.refiner === undefined) options.switchAt = undefined
  return { options, notes }
}
