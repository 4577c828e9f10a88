import { join } from 'node:path'
import { openWeights } from '../../checkpoints/index.ts'
import { sizeOf } from '../../core/shape.ts'
import { drawChart } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { TextToImageEvaluation } from '../evaluation/evaluate-scenes.ts'
import { frechetTable, guidanceTable, pairTable, scoreTable } from '../evaluation/scene-tables.ts'
import { inMarkdown } from '../evaluation/tables.ts'
import { missing } from '../evaluation/text-to-image.ts'
import { fixedPrompts, gridSampling } from '../tasks/text-to-image/fixed-prompts.ts'
import { enlargedGrid, frontMatter, inWords, runTable, writePng } from './common.ts'
import { megabytes, type SceneCard, sceneDataSection } from './scene-common.ts'
import { besideSection } from './side-by-side.ts'
import { systemOf } from './systems.ts'

/** The parameters in a folder. */
const countOf = (dir: string): number => [...openWeights(dir).values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0)

/** What captions come true, and how far two pictures of one caption differ, by the strength of guidance. */
async function writeGuidanceChart(dir: string, { model, sweep }: TextToImageEvaluation): Promise<void> {
  const widest = Math.max(...sweep.map(({ diversity }) => diversity))
  const series = (['exact', 'object', 'precision', 'background', 'relation'] as const).map((fact) => ({
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

const guidanceSentence = ({ chosen, guidance, validation }: TextToImageEvaluation): string =>
  chosen
    ? `Guidance ${guidance} gave the most exact pictures on ${validation} validation captions, which are other scenes; so it is used here.`
    : `Guidance is ${guidance}, as given.`

export interface TextToImageFindings {
  readonly evaluation: TextToImageEvaluation
  readonly made: NdArray<'f32'>
  readonly captions: readonly string[]
  readonly found: Parameters<typeof missing>[1]
  readonly scenes: Parameters<typeof missing>[0]
}

/** The card of a text-to-image model, and its pictures. */
export async function textToImageCard(card: SceneCard, findings: TextToImageFindings): Promise<string> {
  const { dir, name, run, data, command } = card
  const { evaluation, made, captions, found, scenes } = findings
  await writeGuidanceChart(dir, evaluation)
  const failures = missing(scenes, found).slice(0, 8)
  if (failures.length > 0) {
    const rows = failures.map((i) => made.slice(0, i, i + 1))
    await writePng(join(dir, 'pictures', 'failures.png'), enlargedGrid(NdArray.concat(rows)))
  }
  const { guidance, steps, seed, judge, dimension } = evaluation
  const prompts = fixedPrompts.join('; ')
  const system = systemOf(run.recipe)
  const side = Number(run.recipe.resolution ?? 64)
  const promptsSentence = `The first picture of each of 32 prompts, none chosen (${gridSampling.steps} steps, guidance ${gridSampling.guidance}, seeds ${gridSampling.seed} to \
${gridSampling.seed + fixedPrompts.length - 1}), row by row: ${prompts}.`
  const first = system.python
    ? `\`\`\`python\n${system.python(`zoo/${name}`, { steps, guidance })}\n\`\`\``
    : `\`\`\`sh\nlangevin generate "a red fox and a slice of pizza on a blue background" --model ${name} --steps ${steps} --guidance ${guidance}\n\`\`\``
  return `${frontMatter({
    license: 'mit',
    ...(system.python && { library_name: 'diffusers' }),
    pipeline_tag: 'text-to-image',
    tags: ['langevin', 'stickers', ...system.tags],
  })}

# ${name}

Text to image: ${system.about} of ${side}×${side} sticker scenes, every part of which langevin trained in TypeScript from nothing. The denoiser has \
${inWords(countOf(join(dir, system.denoiser)))} parameters; the folder is ${megabytes(dir)} MB. Its layout is that of \`${system.pipeline}\`${system.python ? ": langevin and Python's diffusers both load it" : ''}.

![Pictures that it makes](pictures/samples.png)

${system.samples ?? promptsSentence}

${first}

## Data

${sceneDataSection(data)}

## Training

${inMarkdown(runTable(run), { words: true })}

![Loss](pictures/loss.png)

${system.parts(run.recipe)} Everything is in [recipe.json](recipe.json). Again: \`${command}\`

## Quality

[${judge}](../${judge}) looks at each picture. It is a small network that finds objects, and learnt from rendered scenes alone. It is asked what the \
caption says, and nothing else:

- **exact**: all that the caption says is right, every object as often as named, and nothing else is there;
- **object**: a named object is there (recall); **precision**: an object that is there was named; **count**: as often as named, of what is named twice or more;
- **background**, **style**; **relation**: two objects stand as the caption says; **position**: a small object is in its ninth of the picture.

The size of objects ("a small fox") is not asked.

The test captions are of ${evaluation.captions} scenes that training never showed, nor any scene equal to them, in wordings that it never used. ${guidanceSentence(evaluation)} \
${steps} steps, seed ${seed}. In brackets: 95 % intervals by bootstrap over pictures.

${inMarkdown(scoreTable(evaluation))}

${besideSection(evaluation, run)}What is missing in real pictures is the judge's error.${evaluation.latentDeviation === undefined ? '' : ' Real pictures through the autoencoder are what the best denoiser could reach.'} \
Captions of other pictures are chance.

Some objects are never together in one picture of training. Captions that name such a pair, in wordings of training; intervals by bootstrap over the \
${evaluation.pairs} pairs, of which there are too few for narrow ones:

${inMarkdown(pairTable(evaluation))}

What guidance does, on the validation captions; diversity is the mean distance of features between two pictures of one caption:

![What guidance does](pictures/guidance.png)

${inMarkdown(guidanceTable(evaluation))}

Squared Fréchet distances (± standard error, by bootstrap) to real pictures in ${dimension} features of the judge. **These are not FIDs.**

${inMarkdown(frechetTable(evaluation))}

To measure again: \`langevin evaluate ${name}\` (what it printed is in [evaluation.json](evaluation.json)).

## Failures

${
  failures.length > 0
    ? `![Pictures that miss an object](pictures/failures.png)

The first pictures of the test captions in which the judge misses a named object: ${failures.map((i) => captions[i]).join('; ')}.`
    : 'The judge found every named object.'
}

## Limits

- It knows the stickers above, twelve backgrounds, three styles and the words of its captions, at ${side}×${side} pixels, and nothing else.
- What captions do not say is drawn as training showed it.
- The stickers are as their designers chose them, with the choices that this brings.

## Licence

The weights: MIT, as langevin. The icons that they learnt from: as above.
`
}
