import { join } from 'node:path'
import { loadConfig, matchWeights, openWeights, saveConfig, saveModel, writeModelIndex } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import type { SchedulerConfig } from '../../../diffusion/index.ts'
import { type DitConfig, ditConfig, ditTransformer } from '../../../models/dit/index.ts'
import { Params } from '../../../nn/params.ts'
import type { ClassBatchParts } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Weights } from '../../../runtime/weights.ts'
import { inMemory } from '../../stored.ts'
import { storedAutoencoder } from '../text-to-image/pipeline-folder.ts'

const DIFFUSERS = '0.40.0'

/** The classes of diffusers' pipeline, which guides by row 1000 of the table. */
const ROWS = 1000
const isTable = (key: string) => key.endsWith('class_embedder.embedding_table.weight')

/** All parts as one folder that diffusers' `DiTPipeline` loads, its weights as float16; `names` are the classes', each with its synonyms. */
export function savePipeline(dir: string, { transformer, vae, scheduler }: ClassBatchParts, names: readonly string[]): void {
  const half = { dtype: 'f16' } as const
  const own = (className: string) => ({ _class_name: className, _diffusers_version: DIFFUSERS })
  const rows = Math.max(ROWS, transformer.config.num_embeds_ada_norm)
  const config = { ...own('DiTTransformer2DModel'), ...transformer.config, num_embeds_ada_norm: rows }
  const weights = [...inMemory(transformer.weights)].map(([key, value]) => [key, isTable(key) ? lengthened(value, rows) : value])
  saveModel(join(dir, 'transformer'), config, new Map(weights as [string, NdArray][]), half)
  saveModel(join(dir, 'vae'), { ...own('AutoencoderKL'), ...vae.config }, vae.weights, half)
  saveConfig(join(dir, 'scheduler'), { ...scheduler }, 'scheduler_config.json')
  const component = (className: string) => ({ library: 'diffusers', className })
  writeModelIndex(dir, {
    _class_name: 'DiTPipeline',
    _diffusers_version: DIFFUSERS,
    components: new Map([
      ['scheduler', component('DDIMScheduler')],
      ['transformer', component('DiTTransformer2DModel')],
      ['vae', component('AutoencoderKL')],
    ]),
    options: { id2label: Object.fromEntries(names.map((name, id) => [id, name])) },
  })
}

/** Such a folder's parts. */
export function openPipeline(dir: string): ClassBatchParts {
  const { num_embeds_ada_norm: rows } = ditConfig(loadConfig(join(dir, 'transformer')), join(dir, 'transformer', 'config.json'))
  return {
    transformer: storedTransformer(join(dir, 'transformer'), rows),
    vae: storedAutoencoder(join(dir, 'vae')),
    scheduler: loadConfig(join(dir, 'scheduler'), 'scheduler_config.json') as SchedulerConfig,
  }
}

/** A table [classes + 1, D] with more rows, each as the last, which stands for no class. */
function lengthened(table: NdArray, rows: number): NdArray {
  const [count, width] = table.shape as [number, number]
  const last = table.slice(0, count - 1, count)
  return NdArray.concat([table, ...Array.from({ length: rows + 1 - count }, () => last)]).reshape([rows + 1, width])
}

/**
 * The network of a folder that `savePipeline` wrote, for so many classes.
 *
 * @throws ArgumentError for a folder of other classes
 */
export function storedTransformer(dir: string, classes: number): { config: DitConfig; weights: ReadonlyMap<string, NdArray> } {
  const file = join(dir, 'config.json')
  const stored = ditConfig(loadConfig(dir), file)
  if (stored.num_embeds_ada_norm < classes)
    throw new ArgumentError(`${file}: the network has ${stored.num_embeds_ada_norm} classes, and the recipe's data ${classes}`)
  const p = new Params()
  ditTransformer(p, stored)
  const weights = inMemory(matchWeights(p.tensors, openWeights(dir) as Weights, { place: dir }))
  const none = stored.num_embeds_ada_norm
  const shortened = (table: NdArray) => NdArray.concat([table.slice(0, 0, classes), table.slice(0, none, none + 1)])
  return {
    config: { ...stored, num_embeds_ada_norm: classes },
    weights: new Map([...weights].map(([key, value]) => [key, isTable(key) ? shortened(value) : value])),
  }
}
