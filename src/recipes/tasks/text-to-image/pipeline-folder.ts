import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, matchWeights, openWeights, saveConfig, saveModel, writeModelIndex } from '../../../checkpoints/index.ts'
import type { SchedulerConfig } from '../../../diffusion/index.ts'
import { clipText, clipTextConfig } from '../../../models/clip/index.ts'
import { type AutoencoderKLConfig, autoencoderKL, autoencoderKLConfig } from '../../../models/vae/index.ts'
import { Params } from '../../../nn/params.ts'
import type { PromptBatchParts } from '../../../pipelines/index.ts'
import type { Weights } from '../../../runtime/weights.ts'
import { ClipTokenizer } from '../../../text/index.ts'
import { networkFields } from '../clip.ts'

const DIFFUSERS = '0.40.0'
const tokenizerFiles = ['vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json']

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

/** All parts as one folder that `loadStableDiffusion` and diffusers' StableDiffusionPipeline load, its weights as float16. */
export function savePipeline(dir: string, { unet, vae, text, scheduler }: PromptBatchParts, tokenizer: string): void {
  const half = { dtype: 'f16' } as const
  const own = (className: string) => ({ _class_name: className, _diffusers_version: DIFFUSERS })
  saveModel(join(dir, 'unet'), { ...own('UNet2DConditionModel'), ...unet.config }, unet.weights, half)
  saveModel(join(dir, 'vae'), { ...own('AutoencoderKL'), ...vae.config }, vae.weights, half)
  const numbers = { bos_token_id: text.tokenizer.start, pad_token_id: text.tokenizer.pad }
  const fields = { architectures: ['CLIPTextModel'], model_type: 'clip_text_model', ...networkFields(text.config), ...numbers }
  saveModel(join(dir, 'text_encoder'), fields, text.weights, half)
  savePipelineFrame(dir, { scheduler, tokenizer })
}

/** What a StableDiffusionPipeline's folder has beside its networks: a tokenizer's files from its folder, the scheduler, and the index. */
export function savePipelineFrame(
  dir: string,
  { scheduler, tokenizer }: { scheduler: SchedulerConfig; tokenizer: string },
): void {
  mkdirSync(join(dir, 'tokenizer'), { recursive: true })
  for (const file of tokenizerFiles) copyFileSync(join(tokenizer, file), join(dir, 'tokenizer', file))
  saveConfig(join(dir, 'scheduler'), { ...scheduler }, 'scheduler_config.json')
  const component = (library: string, className: string) => ({ library, className })
  writeModelIndex(dir, {
    _class_name: 'StableDiffusionPipeline',
    _diffusers_version: DIFFUSERS,
    components: new Map([
      ['unet', component('diffusers', 'UNet2DConditionModel')],
      ['vae', component('diffusers', 'AutoencoderKL')],
      ['text_encoder', component('transformers', 'CLIPTextModel')],
      ['tokenizer', component('transformers', 'CLIPTokenizer')],
      ['scheduler', component('diffusers', 'DDIMScheduler')],
      ...['safety_checker', 'feature_extractor', 'image_encoder'].map((name) => [name, null] as const),
    ]),
    options: { requires_safety_checker: false },
  })
}

export function storedAutoencoder(dir: string): { config: AutoencoderKLConfig; weights: Weights } {
  const config = autoencoderKLConfig(loadConfig(dir), join(dir, 'config.json'))
  const p = new Params()
  autoencoderKL(p, config)
  return { config, weights: matchWeights(p.tensors, openWeights(dir), { place: dir }) }
}

/** The text half of a CLIP's folder, or a text encoder's, and its tokenizer. */
export function storedTextEncoder(dir: string, tokenizer = dir) {
  const config = clipTextConfig(loadConfig(dir), join(dir, 'config.json'))
  const p = new Params()
  clipText(p, config)
  const stored = new Map([...openWeights(dir)].filter(([key]) => key.startsWith('text_model.')))
  return { config, weights: matchWeights(p.tensors, stored, { place: dir }), tokenizer: ClipTokenizer.open(tokenizer) }
}
