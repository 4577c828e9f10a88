import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, matchWeights, openWeights, saveConfig, saveModel, writeModelIndex } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import type { SchedulerConfig } from '../../../diffusion/index.ts'
import type { UnclipTextConfig } from '../../../models/unclip/index.ts'
import type { UNet2DConditionConfig } from '../../../models/unet-condition/index.ts'
import type { AutoencoderKLConfig } from '../../../models/vae/index.ts'
import type { Params } from '../../../nn/params.ts'
import { latentUnclipClass } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Weights } from '../../../runtime/weights.ts'
import { inMemory } from '../../stored.ts'
import type { ClipEmbedder } from './clip-embedder.ts'
import { clipHalves, saveClipHalves } from './prior-folder.ts'

/** Where the parameters of both networks stand among those that learn. */
export const scopes = { decoder: 'decoder', projection: 'text_proj' } as const

const within = <T>(all: ReadonlyMap<string, T>, scope: string): Map<string, T> =>
  new Map([...all].filter(([key]) => key.startsWith(`${scope}.`)).map(([key, value]) => [key.slice(scope.length + 1), value]))

/**
 * Values of a U-Net of text alone, to which nothing is added at first: the embeddings' ways into the time begin at 0, and texts' states
 * pass where they are as wide as the network's context.
 */
export function decoderStart(unet: string, params: Params): Map<string, NdArray> {
  const own = inMemory(matchWeights(within(params.tensors, scopes.decoder), openWeights(unet), { place: unet }))
  const start = new Map([...own].map(([key, value]) => [`${scopes.decoder}.${key}`, value]))
  for (const [key, { shape }] of within(params.tensors, scopes.projection)) {
    const [rows, columns] = shape as [number, number]
    const name = `${scopes.projection}.${key}`
    if (/^(embedding_proj|clip_image_embeddings_project_to_time_embeddings)\./.test(key)) start.set(name, NdArray.zeros(shape))
    if (key === 'encoder_hidden_states_proj.weight' && rows === columns) {
      const eye = Float32Array.from({ length: rows * columns }, (_, i) => (i % (columns + 1) === 0 ? 1 : 0))
      start.set(name, new NdArray(eye, shape, 'f32'))
    }
  }
  return start
}

interface SavedDecoder {
  readonly network: UNet2DConditionConfig
  readonly projection: UnclipTextConfig
  readonly weights: ReadonlyMap<string, NdArray>
  readonly vae: { readonly config: AutoencoderKLConfig; readonly weights: Weights }
  readonly clip: ClipEmbedder
  /** The CLIP's. */
  readonly folder: string
  readonly scheduler: SchedulerConfig
  /** A prior's folder. */
  readonly prior: string | undefined
}

/** A folder that `langevin generate` draws with: from pictures, and from prompts where it has a prior. Weights as float16. */
export function saveDecoder(
  dir: string,
  { network, projection, weights, vae, clip, folder, scheduler, prior }: SavedDecoder,
): void {
  const half = { dtype: 'f16' } as const
  saveModel(join(dir, 'decoder'), { _class_name: 'UNet2DConditionModel', ...network }, within(weights, scopes.decoder), half)
  const projected = within(weights, scopes.projection)
  saveModel(join(dir, 'text_proj'), { _class_name: 'UnCLIPTextProjModel', ...projection }, projected, half)
  saveModel(join(dir, 'vae'), { _class_name: 'AutoencoderKL', ...vae.config }, vae.weights, half)
  saveClipHalves(dir, clip, folder)
  saveConfig(join(dir, 'decoder_scheduler'), { ...scheduler }, 'scheduler_config.json')
  if (prior !== undefined) {
    const { _class_name } = loadConfig(join(prior, 'prior'))
    if (_class_name !== 'PriorTransformer') throw new ArgumentError(`${prior}: expected a diffusion prior, got ${_class_name}`)
    cpSync(join(prior, 'prior'), join(dir, 'prior'), { recursive: true })
    cpSync(join(prior, 'scheduler'), join(dir, 'prior_scheduler'), { recursive: true })
  }
  const of = (className: string) => ({ library: 'diffusers', className })
  writeModelIndex(dir, {
    _class_name: latentUnclipClass,
    components: new Map([
      ['decoder', of('UNet2DConditionModel')],
      ['text_proj', of('UnCLIPTextProjModel')],
      ['vae', of('AutoencoderKL')],
      ['decoder_scheduler', of(scheduler._class_name)],
      ...(prior === undefined
        ? []
        : [['prior', of('PriorTransformer')] as const, ['prior_scheduler', of('UnCLIPScheduler')] as const]),
      ...clipHalves,
    ]),
    options: {},
  })
}
