import type { RecipeJson } from '../open.ts'
import { rectifiedFlowType } from '../tasks/rectified-flow/job.ts'

/** What a card of a text-to-image model says of its system. */
export interface System {
  readonly about: string
  readonly tags: readonly string[]
  /** diffusers' class. */
  readonly pipeline: string
  /** The denoiser's component. */
  readonly denoiser: string
  /** How the parts came about. */
  parts(recipe: RecipeJson): string
  /** A first picture with diffusers. */
  python(folder: string, sampling: { readonly steps: number; readonly guidance: number }): string
}

const picture = (fields: string) =>
  `pipeline("a red fox and a slice of pizza on a blue background", height=64, width=64, ${fields}).images[0]`

const sampled = ({ steps, guidance }: { steps: number; guidance: number }) =>
  `num_inference_steps=${steps}, guidance_scale=${guidance}`

const trainedBefore = (names: readonly unknown[]): string =>
  [...new Set(names.map(String))].map((name) => `\`langevin train ${name}\``).join(', ')

/** What an auxiliary head taught. */
const layoutSentence = ({ layout_weight: weight }: RecipeJson): string =>
  weight
    ? ' An auxiliary head, which is not kept, taught it where named objects stand: it had to tell that from the hidden states of a caption.'
    : ''

const diffusion: System = {
  about: 'a latent diffusion model (Rombach et al. 2022)',
  tags: ['stable-diffusion'],
  pipeline: 'StableDiffusionPipeline',
  denoiser: 'unet',
  parts({ train_text_encoder: learns, vae = 'stickers-vae', clip = 'stickers-clip', ...recipe }) {
    const commands = trainedBefore([vae, clip])
    if (!learns) return `The autoencoder and the text encoder were trained before, and stayed as they were: ${commands}.`
    return `The autoencoder and the text encoder were trained before: ${commands}. The autoencoder stayed as it was; the text encoder went on learning with the denoiser.${layoutSentence(recipe)}`
  },
  python: (folder, sampling) =>
    [
      'from diffusers import StableDiffusionPipeline',
      `pipeline = StableDiffusionPipeline.from_pretrained("${folder}")`,
      picture(sampled(sampling)),
    ].join('\n'),
}

const flow: System = {
  about: 'a rectified flow on latents by a transformer of two streams (Esser et al. 2024), Stable Diffusion 3 in small,',
  tags: ['stable-diffusion-3', 'rectified-flow'],
  pipeline: 'StableDiffusion3Pipeline',
  denoiser: 'transformer',
  parts({ train_text_encoder: learns, vae = 'stickers-vae', t5 = 'stickers-t5', patch_labels: patches, ...recipe }) {
    const clips = Array.isArray(recipe.clips) ? recipe.clips : ['stickers-clip', 'stickers-clip']
    const kept = learns
      ? `The first CLIP's text encoder went on learning with the transformer${clips.length > 1 ? '; the second' : '; T5'} and the others stayed as they were.`
      : 'They stayed as they were.'
    const labels = patches
      ? ' Another auxiliary head, not kept either, had to tell from hidden tokens of the transformer what stands at each patch of the clean picture, which Yu et al. 2025 (REPA) do with the features of another network.'
      : ''
    return `The autoencoder, CLIP and T5 were trained before: ${trainedBefore([vae, ...clips, t5])}. ${kept}${layoutSentence(recipe)}${labels}`
  },
  python: (folder, sampling) =>
    [
      'import torch',
      'from diffusers import StableDiffusion3Pipeline',
      `pipeline = StableDiffusion3Pipeline.from_pretrained("${folder}", torch_dtype=torch.float32)`,
      'length = pipeline.tokenizer_3.model_max_length',
      picture(`max_sequence_length=length, ${sampled(sampling)}`),
    ].join('\n'),
}

export const systemOf = ({ recipe }: RecipeJson): System => (recipe === rectifiedFlowType.name ? flow : diffusion)
