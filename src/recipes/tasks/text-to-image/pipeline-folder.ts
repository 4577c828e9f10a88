import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, matchWeights, openWeights, saveConfig, saveModel, writeModelIndex } from '../../../checkpoints/index.ts'
import type { SchedulerConfig } from '../../../diffusion/index.ts'
import { clipText, clipTextConfig, clipTextWithProjection } from '../../../models/clip/index.ts'
import { type T5Config, t5Config, t5Encoder, t5EncoderWeights } from '../../../models/t5/index.ts'
import { type AutoencoderKLConfig, autoencoderKL, autoencoderKLConfig } from '../../../models/vae/index.ts'
import { Params } from '../../../nn/params.ts'
import type { FlowBatchParts, PromptBatchParts } from '../../../pipelines/index.ts'
import type { Weights } from '../../../runtime/weights.ts'
import { ClipTokenizer, T5Tokenizer } from '../../../text/index.ts'
import { networkFields } from '../clip.ts'

const DIFFUSERS = '0.40.0'
const tokenizerConfig = 'tokenizer_config.json'
export const clipFiles = ['vocab.json', 'merges.txt', tokenizerConfig, 'special_tokens_map.json']
const t5Files = ['tokenizer.json', tokenizerConfig, 'special_tokens_map.json']

/** As Stable Diffusion's own, but for the levels, and the steps, which end at the last of training (Lin et al. 2024, section 3.3). */
export const schedulerOf = (levels: Readonly<Record<string, unknown>>): SchedulerConfig => ({
  ...levels,
  _class_name: 'DDIMScheduler',
  _diffusers_version: DIFFUSERS,
  clip_sample: false,
  set_alpha_to_one: false,
  steps_offset: 1,
  timestep_spacing: 'trailing',
})

const half = { dtype: 'f16' } as const
/** The fields by which diffusers' configs name their class. */
export const diffusersClass = (className: string) => ({ _class_name: className, _diffusers_version: DIFFUSERS })

/** All parts as one folder that `loadStableDiffusion` and diffusers' StableDiffusionPipeline load, its weights as float16. */
export function savePipeline(dir: string, { unet, vae, text, scheduler }: PromptBatchParts, tokenizer: string): void {
  saveModel(join(dir, 'unet'), { ...diffusersClass('UNet2DConditionModel'), ...unet.config }, unet.weights, half)
  saveModel(join(dir, 'vae'), { ...diffusersClass('AutoencoderKL'), ...vae.config }, vae.weights, half)
  saveTextEncoder(join(dir, 'text_encoder'), text, 'CLIPTextModel')
  savePipelineFrame(dir, { scheduler, tokenizer })
}

/** A text encoder of CLIP's as a pipeline has it. */
export function saveTextEncoder(dir: string, text: PromptBatchParts['text'], className: string): void {
  const numbers = { bos_token_id: text.tokenizer.start, pad_token_id: text.tokenizer.pad }
  const fields = { architectures: [className], model_type: 'clip_text_model', ...networkFields(text.config), ...numbers }
  saveModel(dir, fields, text.weights, half)
}

/** What a StableDiffusionPipeline's folder has beside its networks: a tokenizer's files from its folder, the scheduler, and the index. */
export function savePipelineFrame(
  dir: string,
  { scheduler, tokenizer }: { scheduler: SchedulerConfig; tokenizer: string },
): void {
  copyTokenizer(tokenizer, join(dir, 'tokenizer'), clipFiles)
  saveConfig(join(dir, 'scheduler'), { ...scheduler }, 'scheduler_config.json')
  writeModelIndex(dir, {
    ...diffusersClass('StableDiffusionPipeline'),
    components: new Map([
      ['unet', component('diffusers', 'UNet2DConditionModel')],
      ['vae', component('diffusers', 'AutoencoderKL')],
      ['text_encoder', component('transformers', 'CLIPTextModel')],
      ['tokenizer', component('transformers', 'CLIPTokenizer')],
      ['scheduler', component('diffusers', 'DDIMScheduler')],
      ...absent('safety_checker', 'feature_extractor', 'image_encoder'),
    ]),
    options: { requires_safety_checker: false },
  })
}

/** All parts as one folder that `loadPipeline` and diffusers' StableDiffusion3Pipeline load, its weights as float16. */
export function saveFlowPipeline(
  dir: string,
  { transformer, vae, clips, t5, scheduler }: FlowBatchParts,
  tokenizers: { readonly clips: readonly string[]; readonly t5: string },
): void {
  saveModel(
    join(dir, 'transformer'),
    { ...diffusersClass('SD3Transformer2DModel'), ...transformer.config },
    transformer.weights,
    half,
  )
  // diffusers' pipeline adds the shift, whether there is one or not.
  const shifted = { ...vae.config, shift_factor: vae.config.shift_factor ?? 0 }
  saveModel(join(dir, 'vae'), { ...diffusersClass('AutoencoderKL'), ...shifted }, vae.weights, half)
  const projected = 'CLIPTextModelWithProjection'
  for (const [i, text] of clips.entries()) {
    const number = i === 0 ? '' : `_${i + 1}`
    saveTextEncoder(join(dir, `text_encoder${number}`), text, projected)
    copyTokenizer(tokenizers.clips[i] as string, join(dir, `tokenizer${number}`), clipFiles, text.tokenizer.maxLength)
  }
  saveT5Encoder(dir, { ...t5, folder: tokenizers.t5 }, '_3')
  saveConfig(join(dir, 'scheduler'), { ...scheduler }, 'scheduler_config.json')
  writeModelIndex(dir, {
    ...diffusersClass('StableDiffusion3Pipeline'),
    components: new Map([
      ['transformer', component('diffusers', 'SD3Transformer2DModel')],
      ['vae', component('diffusers', 'AutoencoderKL')],
      ['text_encoder', component('transformers', projected)],
      ['tokenizer', component('transformers', 'CLIPTokenizer')],
      ...(clips.length > 1
        ? [
            ['text_encoder_2', component('transformers', projected)] as const,
            ['tokenizer_2', component('transformers', 'CLIPTokenizer')] as const,
          ]
        : absent('text_encoder_2', 'tokenizer_2')),
      ['text_encoder_3', component('transformers', 'T5EncoderModel')],
      ['tokenizer_3', component('transformers', 'T5TokenizerFast')],
      ['scheduler', component('diffusers', 'FlowMatchEulerDiscreteScheduler')],
      ...absent('image_encoder', 'feature_extractor'),
    ]),
    options: {},
  })
}

/** A T5's encoder and its tokenizer as a pipeline has them, from the folder of a whole T5. */
export function saveT5Encoder(
  dir: string,
  { config, weights, folder }: { readonly config: T5Config; readonly weights: Weights; readonly folder: string },
  number = '',
): void {
  const { model_type, ...fields } = config
  const encoder = { architectures: ['T5EncoderModel'], model_type, ...networkFields(fields) }
  saveModel(join(dir, `text_encoder${number}`), encoder, weights, half)
  copyTokenizer(folder, join(dir, `tokenizer${number}`), t5Files)
}

const component = (library: string, className: string) => ({ library, className })
const absent = (...names: string[]) => names.map((name) => [name, null] as const)

/** @param maxLength tokens of a text, where they are not the folder's */
export function copyTokenizer(from: string, to: string, files: readonly string[], maxLength?: number): void {
  mkdirSync(to, { recursive: true })
  for (const file of files) copyFileSync(join(from, file), join(to, file))
  if (maxLength !== undefined)
    saveConfig(to, { ...loadConfig(from, tokenizerConfig), model_max_length: maxLength }, tokenizerConfig)
}

export function storedAutoencoder(dir: string): { config: AutoencoderKLConfig; weights: Weights } {
  const config = autoencoderKLConfig(loadConfig(dir), join(dir, 'config.json'))
  const p = new Params()
  autoencoderKL(p, config)
  return { config, weights: matchWeights(p.tensors, openWeights(dir), { place: dir }) }
}

/** The text half of a CLIP's folder, or a text encoder's, and its tokenizer; with the projection to its pooled text where asked for. */
export function storedTextEncoder(dir: string, { tokenizer = dir, projected = false } = {}) {
  const config = clipTextConfig(loadConfig(dir), join(dir, 'config.json'))
  const p = new Params()
  if (projected) clipTextWithProjection(p, config)
  else clipText(p, config)
  const stored = new Map([...openWeights(dir)].filter(([key]) => p.tensors.has(key) || key.startsWith('text_model.')))
  return { config, weights: matchWeights(p.tensors, stored, { place: dir }), tokenizer: ClipTokenizer.open(tokenizer) }
}

/** The encoder of a whole T5's folder, and its tokenizer. */
export function storedT5(dir: string) {
  const config = t5Config(loadConfig(dir), join(dir, 'config.json'))
  const p = new Params()
  t5Encoder(p, config)
  const weights = matchWeights(p.tensors, t5EncoderWeights(openWeights(dir)), { place: dir })
  return { config, weights, tokenizer: T5Tokenizer.open(dir) }
}
