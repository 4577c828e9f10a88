import { readFile } from 'node:fs/promises'
import { inWords } from '../core/system-error.ts'
import { formatOf } from './decode.ts'
import { ImageError } from './errors.ts'
import { jpegComment, webpComment } from './exif.ts'
import { readPngText } from './pngtext.ts'

/** How a picture was made, as far as its file says. */
export interface PictureSettings {
  readonly prompt: string
  readonly negative?: string
  /** As they are written there: `Steps`, `Sampler`, `CFG scale`, `Seed`, `Size`, … */
  readonly settings: Readonly<Record<string, string>>
}

/**
 * The texts in a picture by keyword: a PNG's chunks; of a JPEG and a WebP the Exif comment, as `parameters`.
 *
 * @throws ImageError
 */
export function readPictureText(bytes: Uint8Array, place = 'picture'): Map<string, string> {
  const format = formatOf(bytes)
  if (format !== 'jpeg' && format !== 'webp') return readPngText(bytes, place)
  const comment = format === 'jpeg' ? jpegComment(bytes) : webpComment(bytes, place)
  return new Map(comment === undefined ? [] : [['parameters', comment]])
}

const pair = /\s*(\w[\w \-/]*):\s*("(?:\\[\s\S]|[^\\"])*"|[^,]*)(?:,|$)/gy

/** One line of `Name: value`: from `Steps` on, or, of models that take no steps, up to the version of langevin. */
const settingsLine = /^Steps:\s*\d|(^|, )Version: langevin \S+$/

/** AUTOMATIC1111's text: the prompt, `Negative prompt: …`, and a line of settings. */
export function parseParameters(text: string): PictureSettings {
  const lines = text.trim().split(/\r?\n/)
  const last = settingsLine.test(lines.at(-1) ?? '') ? (lines.pop() as string) : ''
  const cut = lines.findIndex((line) => line.startsWith('Negative prompt:'))
  const prompt = (cut < 0 ? lines : lines.slice(0, cut)).join('\n')
  const negative = cut < 0 ? undefined : lines.slice(cut).join('\n').slice('Negative prompt:'.length).trim()
  const settings: Record<string, string> = {}
  for (const [, name, value] of last.matchAll(pair)) settings[name as string] = unquoted(value as string)
  return { prompt, ...(negative !== undefined && { negative }), settings }
}

function unquoted(value: string): string {
  if (!value.startsWith('"')) return value.trim()
  try {
    return String(JSON.parse(value))
  } catch {
    return value
  }
}

/**
 * ComfyUI's graph, which it writes under the keyword `prompt`: the first sampler's numbers, and the texts that lead to it.
 *
 * @returns undefined for a graph without a sampler, and for what is no graph
 */
export function parseComfyGraph(text: string): PictureSettings | undefined {
  const nodes = nodesOf(text)
  const sampler = Object.values(nodes).find(({ class_type }) => /^KSampler(Advanced)?$/.test(String(class_type)))
  if (!sampler) return undefined
  const { inputs } = sampler
  const settings: Record<string, string> = {}
  for (const [key, name] of comfyNames) {
    const value = inputs[key]
    if (typeof value === 'number' || typeof value === 'string') settings[name] = String(value)
  }
  const loader = Object.values(nodes).find((node) => typeof node.inputs.ckpt_name === 'string')
  if (loader) settings.Model = String(loader.inputs.ckpt_name).replace(/\.\w+$/, '')
  const latent = Object.values(nodes).find((node) => /EmptyLatentImage|EmptySD3LatentImage/.test(String(node.class_type)))
  if (latent) settings.Size = `${latent.inputs.width}x${latent.inputs.height}`
  const negative = textBehind(nodes, inputs.negative)
  return { prompt: textBehind(nodes, inputs.positive) ?? '', ...(negative !== undefined && { negative }), settings }
}

const comfyNames = [
  ['steps', 'Steps'],
  ['sampler_name', 'Sampler'],
  ['scheduler', 'Schedule type'],
  ['cfg', 'CFG scale'],
  ['seed', 'Seed'],
  ['noise_seed', 'Seed'],
  ['denoise', 'Denoising strength'],
] as const

interface ComfyNode {
  readonly class_type: unknown
  readonly inputs: Readonly<Record<string, unknown>>
}

function nodesOf(text: string): Record<string, ComfyNode> {
  let graph: unknown
  try {
    graph = JSON.parse(text)
  } catch {
    return {}
  }
  const isObject = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null && !Array.isArray(x)
  if (!isObject(graph)) return {}
  return Object.fromEntries(
    Object.entries(graph).flatMap(([id, node]) =>
      isObject(node) && isObject(node.inputs) ? [[id, { class_type: node.class_type, inputs: node.inputs }]] : [],
    ),
  )
}

/** The first text on the way back from a link, `[node, output]`. */
function textBehind(nodes: Readonly<Record<string, ComfyNode>>, link: unknown): string | undefined {
  const seen = new Set<string>()
  const queue = [link]
  while (queue.length > 0) {
    const next = queue.shift()
    if (!Array.isArray(next) || !Object.hasOwn(nodes, String(next[0])) || seen.has(String(next[0]))) continue
    seen.add(String(next[0]))
    const { inputs } = nodes[String(next[0])] as ComfyNode
    for (const key of ['text', 'text_g', 'value', 'string']) if (typeof inputs[key] === 'string') return inputs[key]
    queue.push(...Object.values(inputs))
  }
  return undefined
}

/** The settings in a picture's file, whoever wrote it; undefined if there are none. @throws ImageError */
export async function readSettings(source: string | Uint8Array): Promise<PictureSettings | undefined> {
  const place = typeof source === 'string' ? source : 'picture'
  const bytes =
    typeof source === 'string'
      ? await readFile(source).catch((cause: NodeJS.ErrnoException) => {
          throw new ImageError(place, 'missing', `cannot be read: ${inWords(cause)}`, { cause })
        })
      : source
  const texts = readPictureText(bytes, place)
  const parameters = texts.get('parameters')
  if (parameters !== undefined) return parseParameters(parameters)
  return parseComfyGraph(texts.get('prompt') ?? '')
}

/** The options of a run that these settings name, by the pipelines' words; what is no number there is left out. */
export function optionsOf({ prompt, negative, settings }: PictureSettings): Record<string, string | number> {
  const number = (name: string) => {
    const value = Number(settings[name])
    return settings[name]?.trim() && Number.isFinite(value) ? value : undefined
  }
  const [, width, height] = /^(\d+)x(\d+)$/.exec(settings.Size ?? '') ?? []
  const clip = number('Clip skip')
  const found = {
    prompt,
    negative,
    steps: number('Steps'),
    guidance: number('CFG scale'),
    seed: number('Seed'),
    width: width === undefined ? undefined : Number(width),
    height: height === undefined ? undefined : Number(height),
    strength: number('Denoising strength'),
    clipSkip: clip === undefined || clip < 1 ? undefined : clip - 1,
    scheduler: settings.Sampler,
  }
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as Record<string, string | number>
}
