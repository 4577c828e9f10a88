import type { RecipeJson } from '../open.ts'
import { dalleType } from '../tasks/dalle/job.ts'
import { imagenType } from '../tasks/imagen/job.ts'
import { rectifiedFlowType } from '../tasks/rectified-flow/job.ts'
import { fixedPrompts } from '../tasks/text-to-image/fixed-prompts.ts'
import { unclipDecoderType } from '../tasks/unclip/decoder.ts'

/** What a card of a text-to-image model says of its system. */
export interface System {
  readonly about: string
  readonly tags: readonly string[]
  /** The class in `model_index.json`. */
  readonly pipeline: string
  /** What the grid of samples shows, where it is not the first picture of each fixed prompt. */
  readonly samples?: string
  /** The component that learnt: the denoiser, or what takes its place. */
  readonly denoiser: string
  /** How the parts came about. */
  parts(recipe: RecipeJson): string
  /** A first picture with diffusers; absent where diffusers has no such class, or takes such captions otherwise. */
  python?(folder: string, sampling: { readonly steps: number; readonly guidance: number }): string
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

const unclip: System = {
  about:
    'unCLIP (Ramesh et al. 2022, DALL·E 2): a diffusion prior draws the CLIP embedding of a picture from its caption, and a decoder of latents draws the picture from that,',
  tags: ['unclip', 'dall-e-2'],
  pipeline: 'LatentUnCLIPPipeline',
  denoiser: 'decoder',
  samples:
    'Above are pictures that training did not show, below what the decoder draws from their embeddings alone: what they name stays, the rest varies.',
  parts({ vae = 'stickers-vae', clip = 'stickers-clip', prior, pretrained }) {
    const before = trainedBefore([vae, clip, ...(prior === undefined ? [] : [prior])])
    const start = pretrained === undefined ? '' : ` The decoder began with the weights of ${pretrained}’s U-Net.`
    return `The autoencoder, CLIP and the prior were trained before, and stayed as they were: ${before}.${start}`
  },
}

const pixels: System = {
  about: 'the first stage of Imagen (Saharia et al. 2022): diffusion of pixels from the words of a frozen T5,',
  tags: ['imagen'],
  pipeline: 'IFPipeline',
  denoiser: 'unet',
  samples: `Pictures of the first of the fixed prompts, none chosen: ${fixedPrompts.slice(0, 8).join('; ')}.`,
  parts: ({ text = 'stickers-t5' }) => `T5 was trained before, and stayed as it was: ${trainedBefore([text])}.`,
}

const tokens: System = {
  about:
    'DALL·E 1 (Ramesh et al. 2021): a transformer writes the tokens of a picture after those of its caption, and a discrete autoencoder draws them,',
  tags: ['dall-e'],
  pipeline: 'DallePipeline',
  denoiser: 'transformer',
  parts: ({ dvae = 'stickers-dvae', clip = 'stickers-clip' }) =>
    `The discrete autoencoder and the tokenizer's CLIP were trained before: ${trainedBefore([dvae, clip])}.`,
}

const systems: Readonly<Record<string, System>> = {
  [dalleType.name]: tokens,
  [rectifiedFlowType.name]: flow,
  [unclipDecoderType.name]: unclip,
  [imagenType.name]: pixels,
}

export const systemOf = ({ recipe }: RecipeJson): System => systems[String(recipe)] ?? diffusion
