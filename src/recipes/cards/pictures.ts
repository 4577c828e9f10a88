import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../../checkpoints/index.ts'
import type { StickerDataset } from '../../data/index.ts'
import type { SdeSamplerName } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { StickersConfig } from '../data.ts'
import type { DdpmEvaluation } from '../evaluation/evaluate.ts'
import type { Likelihood } from '../evaluation/likelihood.ts'
import type { Nearest } from '../evaluation/quality.ts'
import { distanceTable, inMarkdown, likelihoodTable, nearestTable, percent } from '../evaluation/tables.ts'
import { dataSection, enlargedGrid, frontMatter, inWords, runTable, whole, writePng } from './common.ts'
import type { RunFacts } from './run.ts'

/** Samples by a sampler of a score SDE. */
export interface SdeGrid {
  readonly scheduler: SdeSamplerName
  readonly steps: number | undefined
  readonly samples: NdArray<'f32'>
}

export interface PictureCard {
  readonly dir: string
  readonly name: string
  readonly run: RunFacts
  readonly data: StickersConfig
  /** How to train it again. */
  readonly command: string
  readonly evaluation: DdpmEvaluation
  readonly samples: NdArray<'f32'>
  readonly nearest: readonly Nearest[]
  readonly gallery: StickerDataset
  /** Samples by the samplers of a score SDE, where the model is one. */
  readonly grids: readonly SdeGrid[]
}

/** The card of a model that samples stickers, and its pictures. */
export async function pictureCard(card: PictureCard): Promise<string> {
  const { dir, name, run, data, command, evaluation, samples, nearest, gallery, grids } = card
  const side = samples.shape[2] as number
  const shown = Math.min(64, evaluation.num)
  await writePng(join(dir, 'pictures', 'samples.png'), enlargedGrid(samples.slice(0, 0, shown)))

  const compared = Math.min(16, evaluation.num)
  const { images } = await gallery.batch(nearest.slice(0, compared).map(({ position }) => position))
  const rows = Array.from({ length: Math.ceil(compared / 8) }, (_, i) => [
    samples.slice(0, 8 * i, Math.min(compared, 8 * i + 8)),
    images.slice(0, 8 * i, 8 * i + 8),
  ])
  await writePng(join(dir, 'pictures', 'nearest.png'), enlargedGrid(NdArray.concat(rows.flat())))

  const { steps, seed, scheduler } = evaluation
  const [own, real] = evaluation.sets
  const megabytes = statSync(join(dir, 'unet', 'diffusion_pytorch_model.safetensors')).size / 1e6
  const network = loadConfig(join(dir, 'unet')) as { block_out_channels?: number[]; down_block_types?: string[] }
  const before = run.recipe.pretrained as string | undefined
  const noise = Object.entries((run.recipe.scheduler ?? run.recipe.sde ?? {}) as Record<string, unknown>)
  const sampled = inCommas(scheduler.toUpperCase(), steps, seed)
  const bundled = before !== undefined && existsSync(join(dir, '..', before, 'README.md'))
  const origin =
    before === undefined ? 'trained from nothing' : `fine-tuned from ${bundled ? `[${before}](../${before})` : before}`

  return `${frontMatter({
    license: 'mit',
    library_name: 'diffusers',
    pipeline_tag: 'unconditional-image-generation',
    tags: ['langevin', 'stickers', 'unconditional'],
  })}

# ${name}

${grids.length > 0 ? 'A variance-preserving score SDE' : 'An unconditional diffusion model'} of ${side}×${side} stickers, ${origin} in TypeScript by langevin. ${inWords(run.parameters)} \
parameters, ${megabytes.toFixed(1)} MB. The folder has diffusers' layout: langevin and Python's diffusers both load it.

![${shown} samples](pictures/samples.png)

The first ${shown} samples of one seed, none chosen (${sampled}), enlarged twice:

\`\`\`sh
langevin sample ${name} --num ${shown} --columns 8 ${inFlags(scheduler, steps, seed)}
\`\`\`

\`\`\`python
from diffusers import DDIMPipeline
DDIMPipeline.from_pretrained("zoo/${name}")(batch_size=16, num_inference_steps=50).images[0].save("sticker.png")
\`\`\`
${await gridSection(card)}
## Data

${await dataSection(data, side)}

## Network and training

A \`UNet2DModel\` of ${network.block_out_channels?.join(', ')} channels (${network.down_block_types?.join(', ')}); \
${noise.map(([key, value]) => `\`${key}\` ${value}`).join(', ')}. Everything is in [recipe.json](recipe.json).

${inMarkdown(runTable(run), { words: true })}

![Loss](pictures/loss.png)

Again: \`${command}\`

## Quality

Squared Fréchet distances (± standard error, by bootstrap) between Gaussians fitted to the ${evaluation.dimension} features of \
[${evaluation.classifier}](../${evaluation.classifier}), a small classifier trained on the same icons. **These are not FIDs**, which use another network's \
features, and compare with nothing outside this page. Every set has ${whole(evaluation.num)} pictures; ${sampled}.

${inMarkdown(distanceTable(evaluation))}

Real pictures of the training icons are at the floor of the first column; those of held-out icons show how far other \
stickers of the same style are, with a floor of their own in the second column. The last column is the share of pictures of which the classifier \
names an icon with a probability of 0.9 or more. The distances are kinder than the eye: the features hold colours and coarse shapes \
above all. To measure again: \`langevin evaluate ${name}\` \
(what it printed is in [evaluation.json](evaluation.json)).

**Does it copy?** Each sample against ${drawnWords(evaluation.nearest)}, by the distance of features:

${inMarkdown(nearestTable(evaluation))}

![Samples and their nearest training pictures](pictures/nearest.png)

Rows 1 and 3: the first ${compared} samples. Below each: the picture of training that is nearest to it.
${evaluation.likelihood ? likelihoodSection(name, evaluation.likelihood) : ''}
## Limits

- It knows ${evaluation.icons.training} icons at ${side}×${side} pixels and nothing else: no text, no class, no other size.
- The classifier is certain of an icon in ${percent(own?.named)} of the samples, of real pictures in ${percent(real?.named)}. The others \
are between icons, or miss what makes one recognisable.
- It learnt from few pictures, many times over; samples can be close to an icon of the set. The icons' licences allow that.
- Faces and other icons are as their designers chose them, with the choices that this brings.

## Licence

The weights: MIT, as langevin. The icons that they learnt from: as above.
`
}

const drawnWords = ({ gallery, drawn = gallery }: DdpmEvaluation['nearest']): string =>
  drawn === gallery
    ? `all ${whole(gallery)} pictures that training drew`
    : `${whole(gallery)} of the ${whole(drawn)} pictures that training drew, evenly spread over the run`

const inCommas = (name: string, steps: number | undefined, seed: number) =>
  [name, ...(steps === undefined ? [] : [`${steps} steps`]), `seed ${seed}`].join(', ')
const inFlags = (name: string, steps: number | undefined, seed: number) =>
  [`--scheduler ${name}`, ...(steps === undefined ? [] : [`--steps ${steps}`]), `--seed ${seed}`].join(' ')

/** What each sampler of a score SDE is, in the words of its paper. */
const sdeSamplers: Readonly<Record<SdeSamplerName, string>> = {
  pc: 'Predictor and corrector',
  sde: 'The reverse SDE alone',
  ode: 'The probability-flow ODE by adaptive RK45',
}

/** The samples of a score SDE in continuous time, of one seed. */
async function gridSection({ dir, name, grids, evaluation: { seed } }: PictureCard): Promise<string> {
  const shown: string[] = []
  for (const { scheduler, steps, samples } of grids) {
    await writePng(join(dir, 'pictures', `samples-${scheduler}.png`), enlargedGrid(samples))
    const command = `langevin sample ${name} --num ${samples.shape[0]} --columns 8 ${inFlags(scheduler, steps, seed)}`
    shown.push(`
${inCommas(sdeSamplers[scheduler], steps, seed)}:

![Samples of ${scheduler}](pictures/samples-${scheduler}.png)

\`\`\`sh
${command}
\`\`\``)
  }
  if (shown.length === 0) return ''
  return `
## In continuous time

The network is trained at all times of dx = −½β(t)x dt + √β(t) dw (Song et al. 2021), and three ways of theirs to sample it \
start from the same noise; none of these pictures was chosen.
${shown.join('\n')}
`
}

function likelihoodSection(name: string, likelihood: Likelihood): string {
  return `
**Likelihood.** Bits per dimension (± standard error over pictures) of pictures of 256 levels, drawn anew: of the held-out \
icons, and of the training icons at other positions, sizes and backgrounds. By the probability-flow ODE from t = ${likelihood.end} (Song et \
al. 2021, appendix D.2: evenly dequantised, Hutchinson's estimate of the divergence by the network's own gradient, RK45 to 1e-4), and by \
the variational bound of the discrete chain (Ho et al. 2020, eq. 5, one term of ten drawn); below, a normal distribution of every pixel by \
itself for comparison.

${inMarkdown(likelihoodTable(name, likelihood))}
`
}
