import { join } from 'node:path'
import { loadConfig, matchWeights, openWeights, saveConfig, saveModel, writeModelIndex } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import { geometryOf, type VideoDitConfig, videoDitConfig } from '../../../models/video-dit/index.ts'
import { type VideoVaeConfig, videoFactors, videoVae, videoVaeConfig } from '../../../models/video-vae/index.ts'
import { Params } from '../../../nn/params.ts'
import type { Weights } from '../../../runtime/weights.ts'
import { trainedModel } from '../../stored.ts'
import {
  clipFiles,
  copyTokenizer,
  saveT5Encoder,
  saveTextEncoder,
  storedT5,
  storedTextEncoder,
} from '../text-to-image/pipeline-folder.ts'
import type { VideoFlow } from './schema.ts'

/** The parts that are trained before, the transformer's configuration, and how many tokens the longest films have. */
export function openVideoParts(recipe: VideoFlow) {
  const folders = { vae: trainedModel(recipe.vae), clip: trainedModel(recipe.clip), t5: trainedModel(recipe.t5) }
  const vae = storedVideoVae(folders.vae)
  const text = storedTextEncoder(folders.clip, { projected: true })
  const { clip_tokens: tokens = text.tokenizer.maxLength } = recipe
  if (tokens > text.config.max_position_embeddings)
    throw new ArgumentError(`clip_tokens: ${tokens}, and ${folders.clip} has ${text.config.max_position_embeddings} places`)
  const clip = { ...text, tokenizer: text.tokenizer.padded(tokens) }
  const t5 = storedT5(folders.t5)
  if (clip.config.hidden_size > t5.config.d_model)
    throw new ArgumentError(
      `clip: its states are ${clip.config.hidden_size} wide, and those of ${recipe.t5} ${t5.config.d_model}`,
    )
  const { space, time } = videoFactors(vae.config)
  const [first] = recipe.buckets as [VideoFlow['buckets'][number]]
  const network = videoDitConfig(
    {
      ...recipe.transformer,
      in_channels: vae.config.latent_channels,
      joint_attention_dim: t5.config.d_model,
      pooled_projection_dim: clip.config.projection_dim,
      ...{ sample_size: Math.floor(first.width / space), sample_frames: first.frames, sample_rate: first.rate },
    },
    'transformer',
  )
  const counts = recipe.buckets.map(({ width, height, frames }) => {
    if (width % space !== 0 || height % space !== 0 || (frames - 1) % time !== 0)
      throw new ArgumentError(
        `buckets: ${frames} frames of ${width}×${height} are no whole latents; sides are multiples of ${space}, frames one and multiples of ${time}`,
      )
    const [t, h, w] = geometryOf([network.in_channels, 1 + (frames - 1) / time, height / space, width / space], network)
    return t * h * w
  })
  return { vae, clip, t5, folders, network, count: Math.max(...counts) }
}

function storedVideoVae(dir: string) {
  const config: VideoVaeConfig = videoVaeConfig(loadConfig(dir), join(dir, 'config.json'))
  const p = new Params()
  videoVae(p, config)
  return { className: 'CausalVideoVAE' as const, config, weights: matchWeights(p.tensors, openWeights(dir), { place: dir }) }
}

interface VideoPipelineParts extends Pick<ReturnType<typeof openVideoParts>, 'vae' | 'clip' | 't5' | 'folders'> {
  readonly network: VideoDitConfig
  readonly transformer: Weights
  readonly scheduler: Readonly<Record<string, unknown>>
}

/** All parts as one folder that `loadPipeline` opens, weights as float16. */
export function saveVideoPipeline(
  dir: string,
  { vae, clip, t5, folders, network, transformer, scheduler }: VideoPipelineParts,
): void {
  const half = { dtype: 'f16' } as const
  saveModel(join(dir, 'transformer'), { _class_name: 'VideoDiTModel', ...network }, transformer, half)
  saveModel(join(dir, 'vae'), { _class_name: vae.className, ...vae.config }, vae.weights, half)
  saveTextEncoder(join(dir, 'text_encoder'), clip, 'CLIPTextModelWithProjection')
  copyTokenizer(folders.clip, join(dir, 'tokenizer'), clipFiles, clip.tokenizer.maxLength)
  saveT5Encoder(dir, { ...t5, folder: folders.t5 }, '_2')
  saveConfig(join(dir, 'scheduler'), { _class_name: 'FlowMatchEulerDiscreteScheduler', ...scheduler }, 'scheduler_config.json')
  const component = (library: string, className: string) => ({ library, className })
  writeModelIndex(dir, {
    _class_name: 'VideoFlowPipeline',
    _diffusers_version: '0.40.0',
    components: new Map([
      ['transformer', component('langevin', 'VideoDiTModel')],
      ['vae', component('langevin', vae.className)],
      ['text_encoder', component('transformers', 'CLIPTextModelWithProjection')],
      ['tokenizer', component('transformers', 'CLIPTokenizer')],
      ['text_encoder_2', component('transformers', 'T5EncoderModel')],
      ['tokenizer_2', component('transformers', 'T5TokenizerFast')],
      ['scheduler', component('diffusers', 'FlowMatchEulerDiscreteScheduler')],
    ]),
    options: {},
  })
}
