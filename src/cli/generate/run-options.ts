import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { loadConfig, openWeightFile, readTensor } from '../../checkpoints/index.ts'
import { inWords } from '../../core/system-error.ts'
import type { Pipeline } from '../../pipelines/index.ts'
import { wildcardLines } from '../../text/index.ts'
import type { Io } from '../command.ts'
import { UsageError } from '../errors.ts'
import { flagOf } from '../options.ts'
import { checkPreprocess, controlImages } from './controls.ts'
import type { Flag } from './flags.ts'
import { scaled } from './load.ts'
import { type Options, ofPages } from './options.ts'
import { regionOf } from './regions.ts'

/** As many pictures as networks, and nothing that belongs to a flag that is not there. @throws UsageError */
export function checkCounts(given: Options): void {
  if (given.hiresUpscaler !== undefined && given.hires === undefined)
    throw new UsageError('--hires-upscaler: there is no --hires')
  checkPreprocess(given)
  if (given.quality !== undefined && /\.(png|gif)$|[/\\]$/i.test(given.out ?? '.png'))
    throw new UsageError('--quality: a PNG has none, and a GIF: name a .jpg or .webp with --out, of a film .mp4, .webm or .webp')
  for (const [flag, nets, pictures, network] of [
    ['--control', given.controlnet, given.control, '--controlnet'],
    ['--ip-adapter-image', given.ipAdapter, given.ipAdapterImage, '--ip-adapter'],
    ['--adapter-image', given.adapter, given.adapterImage, '--adapter'],
  ] as const) {
    // A folder of a ControlNet pipeline has its own ControlNet: the page says what it makes of control images alone.
    const own = network === '--controlnet' && nets.length === 0
    if (nets.length !== pictures.length && !own)
      throw new UsageError(`${flag}: ${pictures.length} pictures for ${nets.length} ${network}; give one each`)
  }
  for (const [flag, values] of [
    ['--control-scale', given.controlScale],
    ['--control-start', given.controlStart],
    ['--control-end', given.controlEnd],
  ] as const) {
    if (values.length > 1 && values.length !== given.control.length)
      throw new UsageError(`${flag}: ${values.length} for ${given.control.length} pictures; give one for all, or one each`)
    if (values.length > 0 && given.control.length === 0) throw new UsageError(`${flag}: there is no --control`)
  }
}

/** A page's option from its flag's value: a picture read, a scheduler's file too. @throws UsageError, ImageError, ConfigError */
export async function optionOf(name: string, value: unknown): Promise<unknown> {
  const { decodeImage, decodeMask } = await import('../../images/index.ts')
  const { reading, integers = [] } = ofPages.get(name) as Flag
  if (name === 'mask') return decodeMask(value as string)
  if (reading === 'picture') return decodeImage(value as string)
  if (reading === 'film') return (await import('../../video/index.ts')).readFilm(value as string)
  if (reading === 'map') return decodeImage(value as string, { channels: 1, depth: 16 })
  if (reading === 'tuple') return tupleOf(name, value as string, integers)
  return reading === 'config' && typeof value === 'string' ? configOf(name, value) : value
}

/** The options of a run: pictures read, a scheduler's file too. @throws UsageError, ImageError, ConfigError */
export async function runOptionsOf(given: Options): Promise<Record<string, unknown>> {
  const { decodeImage } = await import('../../images/index.ts')
  const found: Record<string, unknown> = {}
  for (const name of ofPages.keys()) {
    const value = name === 'prompt' ? promptOf(given) : given[name]
    if (value !== undefined) found[name] = await optionOf(name, value)
  }
  const one = (values: readonly number[], i: number) => values[i] ?? values[0]
  const controls = (await controlImages(given)).map((picture, i) => {
    const [scale, start, end] = [given.controlScale, given.controlStart, given.controlEnd].map((values) => one(values, i))
    return {
      picture,
      ...(scale !== undefined && { scale }),
      ...(start !== undefined && { start }),
      ...(end !== undefined && { end }),
    }
  })
  const shown = (nets: readonly string[], pictures: readonly string[]) =>
    Promise.all(
      pictures.map(async (path, i) => ({ picture: await decodeImage(path), scale: scaled(nets[i] as string).scale ?? 1 })),
    )
  const imagePrompts = await shown(given.ipAdapter, given.ipAdapterImage)
  const adapters = await shown(given.adapter, given.adapterImage)
  const references = await Promise.all(given.reference.map((path) => decodeImage(path)))
  const regions = await Promise.all(given.region.map(regionOf))
  return {
    ...found,
    ...(given.fromText !== undefined && { fromText: given.fromText }),
    ...filesOf(given),
    ...(controls.length > 0 && { controls }),
    ...(imagePrompts.length > 0 && { imagePrompts }),
    ...(adapters.length > 0 && { adapters }),
    ...(references.length > 0 && { references }),
    ...(regions.length > 0 && { regions }),
  }
}

/** Embeddings stand for a prompt; several prompts come by their file. */
const promptOf = ({ prompt, promptText, promptEmbeds, prompts }: Options): string | undefined =>
  prompt ?? promptText ?? (promptEmbeds === undefined && prompts === undefined ? undefined : '')

/** What lies in files of tensors and of lists. @throws UsageError, SafetensorsError */
function filesOf({ wildcards, choices, promptEmbeds, imageEmbeds, latents }: Options): Record<string, unknown> {
  return {
    ...(wildcards !== undefined ? { wildcards: listsIn(wildcards) } : choices && { wildcards: {} }),
    ...(promptEmbeds !== undefined && embeddingsIn('promptEmbeds', embeddings, promptEmbeds)),
    ...(imageEmbeds !== undefined && embeddingsIn('imageEmbeds', pictureEmbeddings, imageEmbeds)),
    ...(latents !== undefined && { latents: noiseIn(latents) }),
  }
}

/** The lists of a folder, those of its folders by `folder/name`. */
function listsIn(dir: string): Record<string, string[]> {
  const files = attempted('--wildcards', dir, () => readdirSync(dir, { recursive: true, encoding: 'utf8' }))
  const lists = files.filter((name) => name.endsWith('.txt'))
  if (lists.length === 0) throw new UsageError(`--wildcards: ${dir} has no list, NAME.txt`)
  return Object.fromEntries(
    lists.map((name) => {
      const path = join(dir, name)
      return [
        name.slice(0, -4).split(sep).join('/'),
        wildcardLines(
          attempted('--wildcards', path, () => readFileSync(path, 'utf8')),
          path,
        ),
      ]
    }),
  )
}

function attempted<T>(flag: string, path: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw new UsageError(`${flag}: ${path}: ${inWords(cause as NodeJS.ErrnoException)}`, { cause })
  }
}

const embeddings = ['promptEmbeds', 'negativePromptEmbeds', 'pooledPromptEmbeds', 'negativePooledPromptEmbeds'] as const
const pictureEmbeddings = ['imageEmbeds', 'negativeImageEmbeds'] as const

/** The tensors of these options in a file, of which the first has to be there. */
function embeddingsIn(flag: 'promptEmbeds' | 'imageEmbeds', names: readonly string[], file: string): Record<string, unknown> {
  const { tensors } = openWeightFile(file)
  const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  const found = names.flatMap((name) => {
    const value = tensors.get(snake(name))
    return value ? [[name, readTensor(value)] as const] : []
  })
  if (found[0]?.[0] !== flag)
    throw new UsageError(
      `${flagOf(flag)}: ${file} has no tensor ${snake(flag)}; it has ${[...tensors.keys()].join(', ') || 'none'}`,
    )
  return Object.fromEntries(found)
}

function noiseIn(file: string): unknown {
  const { tensors } = openWeightFile(file)
  const value = tensors.get('latents') ?? [...tensors.values()][0]
  if (!value) throw new UsageError(`--latents: ${file} has no tensor`)
  return readTensor(value)
}

/** Numbers with commas between them, as `64,64`; of two integers also `64x64`. */
function tupleOf(name: string, text: string, integers: readonly boolean[]): number[] {
  const values = text
    .split(integers.length === 2 ? /[,x]/ : ',')
    .map((value) => (value.trim() === '' ? Number.NaN : Number(value)))
  const fits =
    values.length === integers.length &&
    values.every((value, i) => (integers[i] ? Number.isInteger(value) : Number.isFinite(value)))
  if (fits) return values
  const [count, example] = integers.length === 2 ? ['two', '512,512'] : [integers.length, '1.5,1.6,0.9,0.2']
  throw new UsageError(
    `${flagOf(name)}: expected ${count} ${integers.every(Boolean) ? 'integers with a comma' : 'numbers with commas'}, as ${example}; got ${text}`,
  )
}

/** The options but for those that a picture's settings gave and this model has no use for, which are told. */
export function takenBy(
  { schema, className }: Pipeline,
  options: Readonly<Record<string, unknown>>,
  { from, remembered = [] }: Options,
  io: Io,
): Record<string, unknown> {
  const idle = remembered.filter((name) => name in options && !(name in schema.shape))
  if (idle.length > 0)
    io.err.write(`--from ${basename(from as string)}: a ${className} takes no ${idle.map(flagOf).join(', ')}\n`)
  return Object.fromEntries(Object.entries(options).filter(([name]) => !idle.includes(name)))
}

/** A name, or what a scheduler_config.json holds. */
function configOf(name: string, text: string): unknown {
  if (!text.endsWith('.json')) return text
  const { _class_name: className, ...config } = loadConfig(dirname(resolve(text)), basename(text))
  if (className === undefined)
    throw new UsageError(`${flagOf(name)}: ${text} has no _class_name, which says what scheduler it is for`)
  return { _class_name: className, ...config }
}

const messageOf = (issue: { readonly code: string; readonly message: string; readonly input?: unknown }) =>
  issue.code === 'invalid_type' && /received undefined/.test(issue.message) ? 'missing; this model needs it' : issue.message

/** Holds the options against the model's own schema, by the names of flags. @throws UsageError naming every fault, and what the model takes */
export function checkOptions({ schema, className, place }: Pipeline, options: Readonly<Record<string, unknown>>): void {
  const parsed = schema.strict().safeParse(options)
  if (parsed.success) return
  const takes = Object.keys(schema.shape).filter((name) => ofPages.has(name))
  const faults = parsed.error.issues.flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys' || issue.path.length > 0)
      return `${flagOf(String(issue.path[0]))}: ${messageOf(issue)}`
    const which = `a ${className} (${basename(place)}) takes ${takes.map(flagOf).join(', ')}`
    return issue.keys.map((name) => `${flagOf(name)}: no option of this model; ${which}`)
  })
  throw new UsageError(faults.join('\n'))
}
