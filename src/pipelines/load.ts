import type { z } from 'zod'
import { ConfigError } from '../checkpoints/index.ts'
import { ArgumentError } from '../core/errors.ts'
import { existsSync, join } from '../runtime/system.ts'
import { openSource } from './open/open.ts'
import { openParts } from './open/parts.ts'
import type { ModelSource } from './open/source.ts'
import { bundledModels } from './open/zoo.ts'
import { openedOf } from './opened.ts'
import { parseOptions } from './options.ts'
import type { Generation, LoadOptions, Output, Page, Plan, Settings } from './page.ts'
import { pages } from './registry.ts'

/** A model of any family that can run. */
export interface Pipeline {
  /** diffusers' class. */
  readonly className: string
  /** What errors and pictures call the model. */
  readonly place: string
  /** What a run takes. */
  readonly schema: z.ZodObject
  readonly output: Output
  /** The bundled CLIP that ranks its pictures, where the model names one. */
  readonly ranker: string | undefined
  /** Parts that its page may have and this model does not. */
  readonly lacks: readonly string[]
  /** A run: yields every step, returns what it made. @throws ArgumentError for options that it does not take */
  generate(options: RunInput): Generation
  /** What `generate` would do with these options. */
  plan(options: RunInput): Plan
  /** Frees the engine's memory. */
  release(): Promise<void>
}

/** Options of a run by the pipeline's schema, and the signal that stops it between two calls of a network. */
export type RunInput = Readonly<Record<string, unknown>> & { readonly signal?: AbortSignal | undefined }

/** Options of loading that every page takes. */
const common = ['variant', 'hub', 'device', 'threads', 'prepack', 'rewrite', 'fallback', 'keep', 'lowMemory']

/**
 * Opens a model of any family that has a page: a folder in diffusers' layout by its `model_index.json`, a single-file checkpoint,
 * a bundled model's name, or a name on the hub.
 *
 * @param options.pages pages beside those of the registry; theirs go first
 * @throws ConfigError for a class without a page, ArgumentError for options that the page does not take, and what opening throws
 */
export async function loadPipeline(
  model: string,
  { pages: own = [], ...options }: LoadOptions & { readonly pages?: readonly Page[] } & Readonly<Record<string, unknown>> = {},
): Promise<Pipeline> {
  const source = await openSource(model, options)
  const found = pageOf(source, [...own, ...pages])
  const opened = await openPage(found, source, options)
  const settings = ({ signal, ...given }: RunInput): Settings<z.ZodObject> => ({
    ...parseOptions('generate', found.options, given),
    signal,
  })
  return {
    className: source.className,
    place: source.place,
    schema: found.options,
    output: found.output,
    ranker: rankerOf(source),
    lacks: Object.keys(found.parts).filter((name) => !source.has(name)),
    generate: (given) => found.generate(opened, settings(given)),
    plan: (given) => found.plan(opened, settings(given)),
    release: () => opened.release(),
  }
}

/** A checkpoint may name a bundled model, and no path of its own. */
const rankerOf = ({ fields: { ranker } }: ModelSource): string | undefined =>
  typeof ranker === 'string' && bundledModels().includes(ranker) ? ranker : undefined

/** The page of a model's class. @throws ConfigError that lists the classes that have one */
export function pageOf({ className, place }: ModelSource, all: readonly Page[]): Page {
  const found = all.find(({ classes }) => classes.includes(className))
  if (found) return found
  const file = join(place, 'model_index.json')
  const known = all.flatMap(({ classes }) => classes).join(', ')
  throw new ConfigError(existsSync(file) ? file : place, `is ${className}; there are pages for ${known}`, {
    field: '_class_name',
  })
}

/** A page's model of a source. @throws ArgumentError for options of loading that the page does not take */
export async function openPage(page: Page, source: ModelSource, options: LoadOptions) {
  const takes = [...common, ...(page.loads ?? [])]
  const given = Object.entries(options).filter(([, value]) => value !== undefined && value !== false)
  const idle = given.filter(([name, value]) => !takes.includes(name) && !(Array.isArray(value) && value.length === 0))
  if (idle.length > 0) {
    const names = idle.map(([name]) => name).join(', ')
    throw new ArgumentError(
      `${source.place} is a ${source.className}, which does not take ${names}; it takes ${takes.join(', ')}`,
    )
  }
  return page.open(await openParts(source, page.parts, options), openedOf(source, options))
}
