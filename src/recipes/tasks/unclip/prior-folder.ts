import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, saveConfig, saveModel, writeModelIndex } from '../../../checkpoints/index.ts'
import type { SchedulerConfig } from '../../../diffusion/index.ts'
import { clipPixels } from '../../../models/clip/index.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import type { ClipEmbedder } from './clip-embedder.ts'

const half = { dtype: 'f16' } as const

/** Both halves of a CLIP as a pipeline has them, from the CLIP's own folder, the text's with its tokenizer. */
export function saveClipHalves(dir: string, clip: ClipEmbedder, folder: string): void {
  const { text, vision } = clip.stored
  saveModel(join(dir, 'text_encoder'), { architectures: ['CLIPTextModelWithProjection'], ...text.config }, text.weights, half)
  saveModel(
    join(dir, 'image_encoder'),
    { architectures: ['CLIPVisionModelWithProjection'], ...vision.config },
    vision.weights,
    half,
  )
  for (const file of ['vocab.json', 'merges.txt', 'special_tokens_map.json'])
    if (existsSync(join(folder, file))) cpSync(join(folder, file), join(dir, 'tokenizer', file))
  const fields = loadConfig(folder, 'tokenizer_config.json')
  saveConfig(join(dir, 'tokenizer'), { ...fields, model_max_length: clip.length }, 'tokenizer_config.json')
  const preparation = {
    image_processor_type: 'CLIPImageProcessor',
    crop_size: { height: clip.side, width: clip.side },
    size: { shortest_edge: clip.side },
    image_mean: [...clipPixels.mean],
    image_std: [...clipPixels.std],
    resample: 3,
  }
  saveConfig(join(dir, 'image_processor'), preparation, 'preprocessor_config.json')
}

const part = (library: string, className: string) => ({ library, className })

/** What is in `model_index.json` of both halves. */
export const clipHalves = [
  ['text_encoder', part('transformers', 'CLIPTextModelWithProjection')],
  ['image_encoder', part('transformers', 'CLIPVisionModelWithProjection')],
  ['tokenizer', part('transformers', 'CLIPTokenizer')],
  ['image_processor', part('transformers', 'CLIPImageProcessor')],
] as const

interface SavedPrior {
  /** Of the network, and of the pipeline. */
  readonly className: 'PriorTransformer' | 'AutoregressivePrior'
  readonly pipeline: string
  readonly config: object
  readonly weights: ReadonlyMap<string, NdArray>
  readonly clip: ClipEmbedder
  /** The CLIP's. */
  readonly folder: string
  readonly scheduler?: SchedulerConfig
}

/** A prior's folder, with both halves of its CLIP. Weights as float16. */
export function savePrior(dir: string, { className, pipeline, config, weights, clip, folder, scheduler }: SavedPrior): void {
  saveModel(join(dir, 'prior'), { _class_name: className, ...config }, weights, half)
  saveClipHalves(dir, clip, folder)
  if (scheduler) saveConfig(join(dir, 'scheduler'), { ...scheduler }, 'scheduler_config.json')
  writeModelIndex(dir, {
    _class_name: pipeline,
    components: new Map([
      ['prior', part(className === 'PriorTransformer' ? 'diffusers' : 'langevin', className)],
      ...(scheduler ? [['scheduler', part('diffusers', scheduler._class_name as string)] as const] : []),
      ...clipHalves,
    ]),
    options: {},
  })
}
