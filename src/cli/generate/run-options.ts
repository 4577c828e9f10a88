import { basename, dirname, resolve } from 'node:path'
import { loadConfig } from '../../checkpoints/index.ts'
import type { Pipeline } from '../../pipelines/index.ts'
import { UsageError } from '../errors.ts'
import { flagOf } from '../options.ts'
import { scaled } from './load.ts'
import { type Options, ofPages } from './options.ts'

/** As many pictures as networks. @throws UsageError */
export function checkCounts(given: Options): void {
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

/** The options of a run: pictures read, a scheduler's file too. @throws UsageError, ImageError, ConfigError */
export async function runOptionsOf(given: Options): Promise<Record<string, unknown>> {
  const { decodeImage, decodeMask } = await import('../../images/index.ts')
  const found: Record<string, unknown> = {}
  for (const [name, { reading }] of ofPages) {
    const value = name === 'prompt' ? (given.prompt ?? given.promptText) : given[name]
    if (value === undefined) continue
    if (name === 'mask') found[name] = await decodeMask(value as string)
    else if (reading === 'picture') found[name] = await decodeImage(value as string)
    else if (reading === 'map') found[name] = await decodeImage(value as string, { channels: 1, depth: 16 })
    else if (reading === 'pair') found[name] = pairOf(name, value as string)
    else if (reading === 'config') found[name] = configOf(name, value as string)
    else found[name] = value
  }
  const one = (values: readonly number[], i: number) => values[i] ?? values[0]
  const controls = await Promise.all(
    given.control.map(async (path, i) => {
      const [scale, start, end] = [given.controlScale, given.controlStart, given.controlEnd].map((values) => one(values, i))
      return {
        picture: await decodeImage(path, { depth: 16 }),
        ...(scale !== undefined && { scale }),
        ...(start !== undefined && { start }),
        ...(end !== undefined && { end }),
      }
    }),
  )
  const shown = (nets: readonly string[], pictures: readonly string[]) =>
    Promise.all(
      pictures.map(async (path, i) => ({ picture: await decodeImage(path), scale: scaled(nets[i] as string).scale ?? 1 })),
    )
  const imagePrompts = await shown(given.ipAdapter, given.ipAdapterImage)
  const adapters = await shown(given.adapter, given.adapterImage)
  return {
    ...found,
    ...(controls.length > 0 && { controls }),
    ...(imagePrompts.length > 0 && { imagePrompts }),
    ...(adapters.length > 0 && { adapters }),
  }
}

/** Two integers, as `64,64`. */
function pairOf(name: string, text: string): [number, number] {
  const found = /^(-?\d+)[,x](-?\d+)$/.exec(text)
  if (!found) throw new UsageError(`${flagOf(name)}: expected two integers with a comma, as 512,512; got ${text}`)
  return [Number(found[1]), Number(found[2])]
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
