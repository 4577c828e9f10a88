import type { PartEvaluation } from '../evaluation/evaluate-scenes.ts'
import { partTable } from '../evaluation/scene-tables.ts'
import { inMarkdown } from '../evaluation/tables.ts'
import { frontMatter, inWords, trainingSection } from './common.ts'
import { megabytes, type SceneCard, sceneDataSection } from './scene-common.ts'

interface Part {
  readonly title: string
  readonly about: string
  readonly tags: readonly string[]
  readonly limits: readonly string[]
}

const parts: Readonly<Record<string, Part>> = {
  autoencoder: {
    title: 'autoencoder',
    about:
      "A variational autoencoder of sticker scenes with diffusers' `AutoencoderKL` layout: pictures to latents of a quarter of the side, and back. Its error is L1 and the distance in a small classifier's layers, with a small weight on the latents' divergence from a normal distribution, in the last steps against a discriminator of patches (Rombach et al. 2022; Esser et al. 2021).",
    tags: ['autoencoder'],
    limits: ['It learnt flat artwork on plain backgrounds; photographs lose their detail.'],
  },
  clip: {
    title: 'CLIP',
    about:
      "A text and a picture encoder of sticker scenes (Radford et al. 2021), with transformers' `CLIPModel` layout and a byte-pair vocabulary learnt from the captions.",
    tags: ['clip'],
    limits: [
      'It knows the words of the captions, and no others; every word beyond them is cut into bytes that it has hardly seen.',
    ],
  },
  t5: {
    title: 'T5',
    about:
      "An encoder and a decoder of texts about stickers, trained by span corruption: the decoder tells what was cut out (Raffel et al. 2020; in the form of v1.1). It has transformers' `T5ForConditionalGeneration` layout and a unigram vocabulary learnt from its texts (Kudo 2018), which are captions of scenes and phrases with the names of stickers.",
    tags: ['t5'],
    limits: [
      'It knows captions and the names of stickers. It has no knowledge of the world, and no English beyond these.',
      'Of what was cut out much cannot be known, such as the colour of a background: no model tells all of it.',
    ],
  },
  'unclip-prior': {
    title: 'diffusion prior',
    about:
      "DALL·E 2's diffusion prior in small (Ramesh et al. 2022): it draws, for a caption, the embedding that [stickers-clip](../stickers-clip) has of a picture. The network predicts the embedding itself; the CLIP does not learn. Its embeddings are narrower than its texts' states, and zeros fill them. The folder has diffusers' `KandinskyV22PriorPipeline` layout.",
    tags: ['unclip'],
    limits: [
      'It knows what its CLIP knows, which is captions of these stickers.',
      'An embedding leaves much of a picture open, such as where exactly objects stand.',
    ],
  },
  'unclip-ar-prior': {
    title: 'autoregressive prior',
    about:
      "DALL·E 2's autoregressive prior in small (Ramesh et al. 2022): it draws, for a caption, the embedding that [stickers-clip](../stickers-clip) has of a picture, as principal components in buckets, one after another. No such prior was published; the layout is langevin's.",
    tags: ['unclip'],
    limits: [
      'It knows what its CLIP knows, which is captions of these stickers.',
      'An embedding leaves much of a picture open, such as where exactly objects stand.',
    ],
  },
  judge: {
    title: 'judge',
    about:
      'A detector of the objects, the background and the style of sticker scenes (objects as points: Zhou et al. 2019), to score the pictures of text-to-image models. No part of such a model was used to train it.',
    tags: ['object-detection'],
    limits: ['It judges what rendered scenes show. A drawing between two stickers is counted as one of them, or as none.'],
  },
}

/** The card of a part of a text-to-image model. */
export function partCard(card: SceneCard, evaluation: PartEvaluation): string {
  const { name, run, data, command, dir } = card
  const { about, tags, limits } = parts[evaluation.kind] as Part
  const intervals = evaluation.rows.some(({ unit }) => unit === 'share') ? ', with 95 % intervals' : ''
  return `${frontMatter({ license: 'mit', tags: ['langevin', 'stickers', ...tags] })}

# ${name}

${about} ${inWords(run.parameters)} parameters in training, ${megabytes(dir)} MB. Trained from nothing in TypeScript by langevin.

${evaluation.kind === 'autoencoder' ? '![Held-out scenes above their reconstructions: known icons, then icons never seen](pictures/samples.png)\n' : ''}
## Data

${sceneDataSection(data)}

${trainingSection(run, command)}

## Quality

On scenes that no training run has seen${intervals}:

${inMarkdown(partTable(evaluation))}

To measure again: \`langevin evaluate ${name}\` (what it printed is in [evaluation.json](evaluation.json)).

## Limits

${limits.map((limit) => `- ${limit}`).join('\n')}

## Licence

The weights: MIT, as langevin. The icons that they learnt from: as above.
`
}
