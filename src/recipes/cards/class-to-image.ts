import { join } from 'node:path'
import { openWeights } from '../../checkpoints/index.ts'
import { sizeOf } from '../../core/shape.ts'
import { drawChart } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { StickersConfig } from '../data.ts'
import { byClassTable, classFrechetTable, classGuidanceTable, classScoreTable } from '../evaluation/class-tables.ts'
import { type ClassToImageEvaluation, classFacts, type evaluateClassToImage, missed } from '../evaluation/class-to-image.ts'
import { inMarkdown, percent } from '../evaluation/tables.ts'
import { gridSampling } from '../tasks/text-to-image/fixed-prompts.ts'
import { dataSection, enlargedGrid, frontMatter, inWords, runTable, writePng } from './common.ts'
import type { RunFacts } from './run.ts'
import { megabytes } from './scene-common.ts'

interface ClassToImageCard {
  readonly dir: string
  readonly name: string
  readonly run: RunFacts
  readonly data: StickersConfig
  /** How to train it again. */
  readonly command: string
}

/** What comes true, by the strength of guidance. */
async function writeGuidanceChart(dir: string, { model, sweep }: ClassToImageEvaluation): Promise<void> {
  const chart = await drawChart({
    title: `${model}: guidance`,
    subtitle: 'how often pictures show what their class says',
    x: { name: 'guidance' },
    y: { name: 'share', unit: '%', min: 0, max: 100 },
    series: classFacts.map((fact) => ({
      name: fact,
      markers: true,
      points: sweep.map(({ guidance, rates }) => [guidance, 100 * rates[fact].share] as const),
    })),
  })
  await writePng(join(dir, 'pictures', 'guidance.png'), chart)
}

/** How many classes the card lists. */
const LISTED = 12

/** The card of a diffusion transformer of stickers by class, and its pictures. */
export async function classToImageCard(
  { dir, name, run, data, command }: ClassToImageCard,
  { evaluation, pictures, labels, found, asked, ids }: Awaited<ReturnType<typeof evaluateClassToImage>>,
): Promise<string> {
  if (evaluation.sweep.length > 0) await writeGuidanceChart(dir, evaluation)
  const failures = missed(found, ids, asked).slice(0, 8)
  if (failures.length > 0) {
    const rows = failures.map((i) => pictures.slice(0, i, i + 1))
    await writePng(join(dir, 'pictures', 'failures.png'), enlargedGrid(NdArray.concat(rows)))
  }
  const { guidance, steps, seed, judge, dimension, classes, byClass, each, validation, chosen } = evaluation
  const weakest = byClass[0] as (typeof byClass)[number]
  const weak = byClass.filter(({ sticker }) => sticker < 0.8).length
  const table = 'transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight'
  const weights = openWeights(join(dir, 'transformer'))
  const blocks = [...weights.keys()].filter((key) => key.endsWith('class_embedder.embedding_table.weight')).length
  const stored = [...weights.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0)
  const spare = stored - run.parameters
  const network = run.recipe.transformer as Record<string, number>
  const label = labels[0] as string
  return `${frontMatter({
    license: 'mit',
    library_name: 'diffusers',
    pipeline_tag: 'unconditional-image-generation',
    tags: ['langevin', 'stickers', 'dit'],
  })}

# ${name}

Class to image: a diffusion transformer (Peebles and Xie 2023) of 64×64 stickers, ${classes} classes: each sticker in each style. langevin trained it in \
TypeScript from nothing, on the latents of [stickers-vae](../stickers-vae). The transformer has ${inWords(run.parameters)} parameters; the folder is ${megabytes(dir)} MB. \
It has the layout of a \`DiTPipeline\`: langevin and Python's diffusers both load it.

![A picture of each class](pictures/samples.png)

The first picture of each class, none chosen (${gridSampling.steps} steps, guidance ${gridSampling.guidance}, seeds ${gridSampling.seed} to ${gridSampling.seed + classes - 1}), in the order of the classes in \
\`model_index.json\`.

\`\`\`sh
langevin generate --label "fox, 3d style" --model ${name} --steps ${steps} --guidance ${guidance}
\`\`\`

\`\`\`python
from diffusers import DiTPipeline
pipeline = DiTPipeline.from_pretrained("zoo/${name}")
pipeline(pipeline.get_label_ids(["${label}"]), num_inference_steps=${steps}, guidance_scale=${guidance}).images[0]
\`\`\`

diffusers guides by row 1,000 of the table of classes, so the file has 1,001 rows a block (${blocks} × ${String(weights.get(table)?.shape.join(' × '))}, ${inWords(spare)} \
values more than were trained); those without a class are all the one that stands for none.

## Data

${await dataSection(data, 64)}

## Network and training

${network.num_layers} blocks of ${network.num_attention_heads} heads of ${network.attention_head_dim} channels on patches of ${network.patch_size}×${network.patch_size} latents, 64 tokens; velocities are \
predicted, no variances. One class in ten was left out in training, for guidance. Everything is in [recipe.json](recipe.json).

${inMarkdown(runTable(run), { words: true })}

![Loss](pictures/loss.png)

Again: \`${command}\`

## Quality

[${judge}](../${judge}) looks at each picture. It is a small network that finds objects, and learnt from rendered scenes alone. **sticker**: the class's \
sticker is there (recall); **style**: it is in the class's style; **exact**: both, and nothing else is there. ${each} pictures of each class, ${steps} steps, seed ${seed}. \
${chosen ? `Guidance ${guidance} gave the most exact pictures of ${validation} of other seeds; so it is used here.` : `Guidance is ${guidance}, as given.`} In brackets: 95 % intervals by bootstrap over pictures.

${inMarkdown(classScoreTable(evaluation))}

What is missing in real pictures is the judge's error. Real pictures through the autoencoder are what the best transformer could reach. Other \
classes are chance.

**By class.** The weakest is "${weakest.name}": its sticker is there in ${percent(weakest.sticker)} of its pictures. ${weak === 0 ? `All ${classes} classes reach 80 %.` : `${weak} of ${classes} classes stay below 80 %.`} \
The ${Math.min(LISTED, classes)} weakest (all are in [evaluation.json](evaluation.json)):

${inMarkdown(byClassTable(evaluation, LISTED))}
${
  evaluation.sweep.length > 0
    ? `
What guidance does:

![What guidance does](pictures/guidance.png)

${inMarkdown(classGuidanceTable(evaluation))}
`
    : ''
}
Squared Fréchet distances (± standard error, by bootstrap) to real pictures in ${dimension} features of the judge. **These are not FIDs.**

${inMarkdown(classFrechetTable(evaluation))}

To measure again: \`langevin evaluate ${name} --num ${each * classes} --validation ${validation}\` (what it printed is in [evaluation.json](evaluation.json)).

## Failures

${
  failures.length > 0
    ? `![Pictures that miss their sticker](pictures/failures.png)

The first pictures in which the judge misses the class's sticker: ${failures.map((i) => labels[i]).join('; ')}.`
    : 'The judge found the sticker of every picture.'
}

## Limits

- It knows these ${classes} classes at 64×64 pixels and nothing else. The sticker stands large, at one of a few places, on a background of its own choice.
- Names of classes beyond these are refused; numbers beyond them are pictures of no class.
- The stickers are as their designers chose them, with the choices that this brings.

## Licence

The weights: MIT, as langevin. The icons that they learnt from: as above.
`
}
