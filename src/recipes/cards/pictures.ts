import { statSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../../checkpoints/index.ts'
import type { StickerDataset } from '../../data/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { StickersConfig } from '../data.ts'
import type { DdpmEvaluation } from '../evaluate.ts'
import type { Nearest } from '../quality.ts'
import { distanceTable, inMarkdown, nearestTable } from '../tables.ts'
import { dataSection, enlargedGrid, frontMatter, inWords, runTable, whole, writePng } from './common.ts'
import type { Run } from './run.ts'

export interface PictureCard {
  readonly dir: string
  readonly name: string
  readonly run: Run
  readonly data: StickersConfig
  readonly parameters: number
  /** How to train it again. */
  readonly command: string
  readonly note: string | undefined
  readonly evaluation: DdpmEvaluation
  readonly samples: NdArray<'f32'>
  readonly nearest: readonly Nearest[]
  readonly gallery: StickerDataset
}

/** The card of a model that samples stickers, and its pictures. */
export async function pictureCard(card: PictureCard): Promise<string> {
  const { dir, name, run, data, parameters, command, note, evaluation, samples, nearest, gallery } = card
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
  const megabytes = statSync(join(dir, 'unet', 'diffusion_pytorch_model.safetensors')).size / 1e6
  const network = loadConfig(join(dir, 'unet')) as { block_out_channels?: number[]; down_block_types?: string[] }
  const before = run.recipe.pretrained as string | undefined
  const noise = Object.entries((run.recipe.scheduler ?? run.recipe.sde ?? {}) as Record<string, unknown>)
  const sampled = `${scheduler.toUpperCase()}, ${steps} steps, seed ${seed}`

  return `${frontMatter({
    license: 'mit',
    library_name: 'diffusers',
    pipeline_tag: 'unconditional-image-generation',
    tags: ['langevin', 'stickers', 'unconditional'],
  })}

# ${name}

An unconditional diffusion model of ${side}×${side} stickers, ${before ? `fine-tuned from [${before}](../${before})` : 'trained from nothing'} in TypeScript by langevin. ${inWords(parameters)} \
parameters, ${megabytes.toFixed(1)} MB. The folder has diffusers' layout: langevin and Python's diffusers both load it.

![${shown} samples](pictures/samples.png)

The first ${shown} samples of one seed, none chosen (${sampled}), enlarged twice:

\`\`\`sh
langevin sample ${name} --num ${shown} --columns 8 --scheduler ${scheduler} --steps ${steps} --seed ${seed}
\`\`\`

\`\`\`python
from diffusers import DDIMPipeline
DDIMPipeline.from_pretrained("zoo/${name}")(batch_size=16, num_inference_steps=${steps}).images[0].save("sticker.png")
\`\`\`

## Data

${await dataSection(data, side)}

## Network and training

A \`UNet2DModel\` of ${network.block_out_channels?.join(', ')} channels (${network.down_block_types?.join(', ')}); \
${noise.map(([key, value]) => `\`${key}\` ${value}`).join(', ')}. Everything is in [recipe.json](recipe.json).

${inMarkdown(runTable(run, parameters, note), { words: true })}

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

**Does it copy?** Each sample against ${whole(evaluation.nearest.gallery)} training pictures, by the distance of features:

${inMarkdown(nearestTable(evaluation))}

![Samples and their nearest training pictures](pictures/nearest.png)

Rows 1 and 3: the first ${compared} samples. Below each: the training picture nearest to it.

## Limits

- It knows ${evaluation.icons.training} icons at ${side}×${side} pixels and nothing else: no text, no class, no other size.
- It was trained for a short time on a small machine. Many samples are between icons, or miss what makes one recognisable.
- It learnt from few pictures, many times over; samples can be close to an icon of the set. The icons' licences allow that.
- Faces and other icons are as their designers chose them, with the choices that this brings.

## Licence

The weights: MIT, as langevin. The icons that they learnt from: as above.
`
}
