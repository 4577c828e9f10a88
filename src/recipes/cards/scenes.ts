import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { writeAll, writeAtomic } from '../../checkpoints/atomic.ts'
import { openWeights } from '../../checkpoints/index.ts'
import { writeJson } from '../../checkpoints/json.ts'
import { iconSources, sceneNouns } from '../../data/index.ts'
import { drawChart } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { TrainingJob } from '../../training/run.ts'
import type { ScenesConfig } from '../data.ts'
import type { EvaluateContext, EvaluateOptions } from '../evaluation/evaluate.ts'
import {
  evaluatePart,
  evaluateTextToImage,
  type PartEvaluation,
  type TextToImageEvaluation,
} from '../evaluation/evaluate-scenes.ts'
import { missing } from '../evaluation/scene-quality.ts'
import { frechetTable, guidanceTable, partTable, scoreTable } from '../evaluation/scene-tables.ts'
import { inMarkdown } from '../evaluation/tables.ts'
import type { RecipeJson } from '../open.ts'
import { fixedPrompts, gridSampling } from '../tasks/text-to-image/fixed-prompts.ts'
import { enlargedGrid, frontMatter, inWords, runTable, wrapped, writePng } from './common.ts'
import type { Run } from './run.ts'

export interface SceneCard {
  readonly dir: string
  readonly name: string
  readonly run: Run
  readonly data: ScenesConfig
  readonly parameters: number
  /** How to train it again. */
  readonly command: string
  readonly note: string | undefined
}

/** The size of all weights in a folder. */
function megabytes(dir: string): string {
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.safetensors'))
  return (files.reduce((sum, file) => sum + statSync(join(dir, file)).size, 0) / 1e6).toFixed(1)
}

/** The parameters in a folder. */
const countOf = (dir: string): number =>
  [...openWeights(dir).values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)

/** What became of the parts that were trained before. */
function partsSentence({ train_text_encoder: learns, layout_weight: reader }: RecipeJson): string {
  const commands = '`langevin train stickers-vae`, `langevin train stickers-clip`'
  if (!learns) return `The autoencoder and the text encoder were trained before, and did not learn any more: ${commands}.`
  const beside = reader
    ? ', and from a small reader beside it, which is not kept: it learns to tell from the states of texts where named objects stand'
    : ''
  return `The autoencoder was trained before, and did not learn any more. The text encoder was, too, and went on learning with the denoiser${beside}. Both: ${commands}.`
}

/** What captions come true, and how far two pictures of one caption differ, by the strength of guidance. */
async function writeGuidanceChart(dir: string, { model, sweep }: TextToImageEvaluation): Promise<void> {
  const widest = Math.max(...sweep.map(({ diversity }) => diversity))
  const series = (['object', 'ground', 'relation', 'count', 'style'] as const).map((fact) => ({
    name: fact,
    markers: true,
    points: sweep.map(({ guidance, rates }) => [guidance, 100 * rates[fact].share] as const),
  }))
  const diversity = sweep.map((point) => [point.guidance, (100 * point.diversity) / widest] as const)
  const chart = await drawChart({
    title: `${model}: guidance`,
    subtitle: 'how often captions come true, and how far two pictures of one caption differ',
    x: { name: 'guidance' },
    y: { name: 'share', unit: '%', min: 0, max: 100 },
    series: [...series, { name: 'diversity, of the greatest', points: diversity, dashed: true, markers: true }],
  })
  await writePng(join(dir, 'pictures', 'guidance.png'), chart)
}

const latticeSentence = ({ cells, sides }: NonNullable<ScenesConfig['lattice']>): string =>
  `They stand on a lattice of ${cells} × ${cells} cells${sides ? ` and are ${sides.join(', ')} cells wide` : ''}. `

/** What models of scenes learn from. */
function dataSection({ styles, nouns: names, sizes, lattice }: ScenesConfig): string {
  const sources = styles.map((style) => iconSources[style])
  const nouns = sceneNouns(names).map(({ words: [word] }) => word)
  return `${sources.map(({ title, author, licence, url }) => `- [${title}](${url}), © ${author}, ${licence} licence`).join('\n')}

Scenes of one to four of ${nouns.length} kinds of stickers on twelve coloured grounds, with captions, rendered as training goes on; what is held out \
for testing is described in docs/data.md. ${sizes === 'large' ? 'No sticker is small: the least are three eighths of the picture wide. ' : ''}${lattice ? latticeSentence(lattice) : ''}The stickers: ${nouns.join(', ')}.`
}

/** Writes the card of a model of scenes, with its pictures and its numbers, into a folder that has the model. */
export async function publishScenes(
  card: SceneCard,
  { preview }: Pick<TrainingJob, 'preview'>,
  { evaluate, ...context }: Omit<EvaluateContext, 'name'> & { readonly evaluate: EvaluateOptions },
): Promise<void> {
  const { dir, name, run, data } = card
  const kind = String(run.recipe.recipe)
  const told = { ...context, name }
  const png = await preview?.(run.weights)
  if (png) writeAtomic(join(dir, 'pictures', 'samples.png'), (fd) => writeAll(fd, png))
  const save = (evaluation: object, text: string) => {
    writeJson(join(dir, 'evaluation.json'), { ...evaluation })
    writeAtomic(join(dir, 'README.md'), wrapped(text))
  }
  if (kind !== 'text-to-image') {
    const evaluation = await evaluatePart(dir, { kind, data }, evaluate, told)
    return save(evaluation, partCard(card, evaluation))
  }
  const found = await evaluateTextToImage(dir, data, evaluate, told)
  save(found.evaluation, await textToImageCard(card, found))
}

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
    limits: ['It learnt flat artwork on plain grounds; photographs lose their detail.'],
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
  judge: {
    title: 'judge',
    about:
      'A detector of the objects, the ground and the style of sticker scenes (objects as points: Zhou et al. 2019), to score the pictures of text-to-image models. No part of such a model was used to train it.',
    tags: ['object-detection'],
    limits: ['It judges what rendered scenes show. A drawing between two stickers is counted as one of them, or as none.'],
  },
}

/** The card of a part of a text-to-image model. */
export function partCard(card: SceneCard, evaluation: PartEvaluation): string {
  const { name, run, data, parameters, command, note, dir } = card
  const { about, tags, limits } = parts[evaluation.kind] as Part
  const intervals = evaluation.rows.some(({ unit }) => unit === 'share') ? ', with 95 % intervals' : ''
  return `${frontMatter({ license: 'mit', tags: ['langevin', 'stickers', ...tags] })}

# ${name}

${about} ${inWords(parameters)} parameters in training, ${megabytes(dir)} MB. Trained from nothing in TypeScript by langevin.

${evaluation.kind === 'autoencoder' ? '![Held-out scenes above their reconstructions: known icons, then icons never seen](pictures/samples.png)\n' : ''}
## Data

${dataSection(data)}

## Training

Everything is in [recipe.json](recipe.json).

${inMarkdown(runTable(run, parameters, note), { words: true })}

![Loss](pictures/loss.png)

Again: \`${command}\`

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

export interface TextToImageFindings {
  readonly evaluation: TextToImageEvaluation
  readonly made: NdArray<'f32'>
  readonly captions: readonly string[]
  readonly found: Parameters<typeof missing>[1]
  readonly scenes: Parameters<typeof missing>[0]
}

/** The card of a text-to-image model, and its pictures. */
export async function textToImageCard(card: SceneCard, findings: TextToImageFindings): Promise<string> {
  const { dir, name, run, data, parameters, command, note } = card
  const { evaluation, made, captions, found, scenes } = findings
  await writeGuidanceChart(dir, evaluation)
  const failures = missing(scenes, found).slice(0, 8)
  if (failures.length > 0) {
    const rows = failures.map((i) => made.slice(0, i, i + 1))
    await writePng(join(dir, 'pictures', 'failures.png'), enlargedGrid(NdArray.concat(rows)))
  }
  const { guidance, steps, seed, judge, dimension } = evaluation
  const prompts = fixedPrompts.join('; ')
  return `${frontMatter({
    license: 'mit',
    library_name: 'diffusers',
    pipeline_tag: 'text-to-image',
    tags: ['langevin', 'stickers', 'stable-diffusion'],
  })}

# ${name}

Text to image: a latent diffusion model (Rombach et al. 2022) of 64×64 sticker scenes, every part of which langevin trained in TypeScript from \
nothing. The denoiser has ${inWords(countOf(join(dir, 'unet')))} parameters; the folder is ${megabytes(dir)} MB. It has the layout of a \`StableDiffusionPipeline\`: langevin and Python's diffusers \
both load it.

![Pictures of 32 fixed prompts](pictures/samples.png)

The first picture of each of 32 prompts, none chosen (${gridSampling.steps} steps, guidance ${gridSampling.guidance}, seeds ${gridSampling.seed} to \
${gridSampling.seed + fixedPrompts.length - 1}), row by row: ${prompts}.

\`\`\`python
from diffusers import StableDiffusionPipeline
pipeline = StableDiffusionPipeline.from_pretrained("zoo/${name}")
pipeline("a red fox and a slice of pizza on a blue background", height=64, width=64, num_inference_steps=${steps}, guidance_scale=${guidance}).images[0]
\`\`\`

## Data

${dataSection(data)}

## Training

${inMarkdown(runTable(run, parameters, note), { words: true })}

![Loss](pictures/loss.png)

${partsSentence(run.recipe)} Everything is in [recipe.json](recipe.json). Again: \`${command}\`

## Quality

How often pictures show what held-out captions say, as [${judge}](../${judge}) sees it, which was trained on rendered scenes alone \
(guidance ${guidance}, ${steps} steps, seed ${seed}; 95 % intervals). What it misses in real pictures is its own error; captions of other pictures are chance.

${inMarkdown(scoreTable(evaluation))}

![What guidance does](pictures/guidance.png)

${inMarkdown(guidanceTable(evaluation))}

Squared Fréchet distances (± standard error, by bootstrap) to real pictures in ${dimension} features of the judge. **These are not FIDs.**

${inMarkdown(frechetTable(evaluation))}

To measure again: \`langevin evaluate ${name}\` (what it printed is in [evaluation.json](evaluation.json)).

## Failures

${
  failures.length > 0
    ? `![Pictures that miss an object](pictures/failures.png)

The first pictures of the held-out captions in which the judge misses a named object: ${failures.map((i) => captions[i]).join('; ')}.`
    : 'The judge found every named object.'
}

## Limits

- It knows the stickers above, twelve grounds, three styles and the words of its captions, at 64×64 pixels, and nothing else.
- What captions do not say is drawn as training showed it.
- The stickers are as their designers chose them, with the choices that this brings.

## Licence

The weights: MIT, as langevin. The icons that they learnt from: as above.
`
}
