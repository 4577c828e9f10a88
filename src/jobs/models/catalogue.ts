import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, extname, join, resolve } from 'node:path'
import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { pageOf } from '../../pipelines/load.ts'
import { openSource } from '../../pipelines/open/open.ts'
import { bundledModels, modelFolder } from '../../pipelines/open/zoo.ts'
import type { Output, Page } from '../../pipelines/page.ts'
import { pages } from '../../pipelines/registry.ts'

/** A model that can be asked for. */
export interface CatalogueModel {
  /** What requests call it. */
  readonly id: string
  /** What `loadPipeline` opens. */
  readonly path: string
  /** How it is opened: `loadPipeline`'s options. */
  readonly load: Readonly<Record<string, unknown>>
  /** Milliseconds since 1970 of its file. */
  readonly created: number
}

/** A model with what its page says of it; nothing of its weights is read for that. */
export interface DescribedModel extends CatalogueModel {
  readonly className: string
  readonly output: Output
  readonly page: Page
}

const listed = z.array(
  z.strictObject({ id: z.string().min(1), model: z.string().min(1), load: z.record(z.string(), z.unknown()).default({}) }),
)

/** Milliseconds for which what lies in the folders is not looked at again. */
const FRESH = 3000

/**
 * The models of a server or a worker: the bundled ones, and those of the sources. A source is a model, a folder of models, a `.json` list
 * of `{ id, model, load }`, or a name on the hub.
 */
export class Catalogue {
  readonly #sources: readonly string[]
  readonly #bundled: boolean
  readonly #described = new Map<string, Promise<DescribedModel>>()
  #found: ReadonlyMap<string, CatalogueModel> = new Map()
  #looked = -Infinity

  constructor(sources: readonly string[], { bundled = true }: { readonly bundled?: boolean } = {}) {
    this.#sources = sources
    this.#bundled = bundled
    this.#look()
  }

  /** Every model whose class has a page. One that cannot be opened is left out, and told. */
  async list(onError: (model: CatalogueModel, error: Error) => void = () => {}): Promise<DescribedModel[]> {
    if (performance.now() - this.#looked > FRESH) this.#look()
    const all = await Promise.all(
      [...this.#found.values()].map((model) =>
        this.#describe(model).catch((error: Error) => {
          onError(model, error)
          return undefined
        }),
      ),
    )
    return all.filter((model) => model !== undefined)
  }

  /** A model by its id. @returns undefined where there is none; @throws what opening it throws */
  async find(id: string): Promise<DescribedModel | undefined> {
    if (!this.#found.has(id) && performance.now() - this.#looked > FRESH) this.#look()
    const model = this.#found.get(id)
    return model && this.#describe(model)
  }

  /** What enlarges pictures: Lanczos, bundled networks, and those in the sources. */
  upscalers(): CatalogueModel[] {
    const sources = this.#sources.flatMap(upscalersIn)
    const bundled = this.#bundled ? bundledModels().flatMap((name) => upscalerAt(modelFolder(name))) : []
    return [{ id: 'lanczos', path: 'lanczos', load: {}, created: 0 }, ...sources, ...bundled]
  }

  upscaler(id: string): CatalogueModel | undefined {
    return this.upscalers().find((one) => one.id === id)
  }

  #describe(model: CatalogueModel): Promise<DescribedModel> {
    const key = `${model.id} ${model.path} ${model.created}`
    const known = this.#described.get(key)
    if (known) return known
    const describing = openSource(model.path, model.load).then((source) => {
      const page = pageOf(source, pages)
      return { ...model, className: source.className, output: page.output, page }
    })
    this.#described.set(key, describing)
    // A model that was not whole yet may be so at the next look.
    describing.catch(() => this.#described.delete(key))
    return describing
  }

  #look(): void {
    this.#looked = performance.now()
    const found = new Map<string, CatalogueModel>()
    const add = (model: CatalogueModel) => {
      if (!found.has(model.id)) found.set(model.id, model)
    }
    for (const source of this.#sources) for (const model of modelsIn(source)) add(model)
    if (this.#bundled) for (const name of bundledModels()) if (isPipeline(name)) add(bundledModel(name))
    this.#found = found
  }
}

const bundledModel = (name: string): CatalogueModel => ({ id: name, path: name, load: {}, created: 0 })

/** Of the bundled ones, those that are pipelines and not a part of one. */
const isPipeline = (name: string): boolean => existsSync(new URL(`../../../zoo/${name}/model_index.json`, import.meta.url))

const single = ['.safetensors', '.ckpt', '.gguf']

/** The models of one source. @throws ArgumentError where there is none */
function modelsIn(source: string): CatalogueModel[] {
  if (!existsSync(source)) {
    if (bundledModels().includes(source)) return [bundledModel(source)]
    if (/^[\w.-]+\/[\w.-]+$/.test(source)) return [{ id: source, path: source, load: {}, created: 0 }]
    throw new ArgumentError(`--models: no such model or folder: ${source}`)
  }
  const path = resolve(source)
  if (path.endsWith('.json') && statSync(path).isFile()) return listIn(path)
  const own = modelAt(path)
  if (own) return [own]
  if (!statSync(path).isDirectory())
    throw new ArgumentError(`--models: ${source} is no model: a folder, ${single.join(', ')} or a list`)
  return readdirSync(path).flatMap((name) => modelAt(join(path, name)) ?? [])
}

function modelAt(path: string): CatalogueModel | undefined {
  const info = statSync(path, { throwIfNoEntry: false })
  // A language model's folder is its network's, with a config alone.
  const index = ['model_index.json', 'config.json'].map((name) => join(path, name)).find(existsSync)
  if (info?.isDirectory() && index !== undefined && upscalerAt(path).length === 0)
    return { id: basename(path), path, load: {}, created: Math.round(statSync(index).mtimeMs) }
  if (info?.isFile() && single.includes(extname(path)))
    return { id: basename(path, extname(path)), path, load: {}, created: Math.round(info.mtimeMs) }
  return undefined
}

/** Networks that enlarge pictures, in a folder or at a path. */
function upscalersIn(source: string): CatalogueModel[] {
  if (!existsSync(source)) return []
  const path = resolve(source)
  const own = upscalerAt(path)
  return own.length > 0 || !statSync(path).isDirectory() ? own : readdirSync(path).flatMap((name) => upscalerAt(join(path, name)))
}

function upscalerAt(path: string): CatalogueModel[] {
  const info = statSync(path, { throwIfNoEntry: false })
  const named = (id: string) => [{ id, path, load: {}, created: Math.round(info?.mtimeMs ?? 0) }]
  if (info?.isFile() && extname(path) === '.pth') return named(basename(path, '.pth'))
  const config = join(path, 'config.json')
  if (!info?.isDirectory() || !existsSync(config)) return []
  try {
    return upscalerClasses.includes(JSON.parse(readFileSync(config, 'utf8'))._class_name) ? named(basename(path)) : []
  } catch {
    return []
  }
}
const upscalerClasses: readonly unknown[] = ['RRDBNet', 'SRVGGNetCompact', 'SwinIR', 'Swin2SR']

function listIn(file: string): CatalogueModel[] {
  let list: unknown
  try {
    list = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new ArgumentError(`--models: ${file} is no JSON: ${(cause as Error).message}`, { cause })
  }
  const parsed = listed.safeParse(list)
  if (!parsed.success)
    throw new ArgumentError(
      `--models: ${file}: ${z.prettifyError(parsed.error)}; expected [{ "id": "…", "model": "…", "load": {} }]`,
    )
  return parsed.data.map(({ id, model, load }) => ({ id, path: model, load, created: Math.round(statSync(file).mtimeMs) }))
}
