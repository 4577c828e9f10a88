import { join } from 'node:path'
import { imageGrid, imagesOf, resize } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { evaluateControl } from '../evaluation/control.ts'
import { controlTable } from '../evaluation/control-table.ts'
import { inMarkdown } from '../evaluation/tables.ts'
import { hintsOf } from '../tasks/controlnet/conditions.ts'
import { type Condition, controlnetSchema } from '../tasks/controlnet/schema.ts'
import { frontMatter, inWords, trainingSection, writePng } from './common.ts'
import { megabytes, type SceneCard, sceneDataSection } from './scene-common.ts'

const conditionWords: Readonly<Record<Condition, string>> = {
  canny: 'edges found by Canny’s method, white on black',
  outline: 'the outlines of the objects, white lines of one pixel on black',
  scribble: 'thick lines along edges, white on black',
  blur: 'blurred colours',
  layout: 'filled boxes on black, each in the colour that stands for its object (`layoutColour` of `langevin/data`)',
  'depth-order': 'the objects’ shapes on black, the brighter the nearer',
}

const SHOWN = 8

/** The card of a ControlNet, and its pictures: maps, what is made with them, and what the same captions and noise give without. */
export async function controlCard(
  { name, run, data, command, dir }: SceneCard,
  { evaluation, maps, made, plain, captions }: Awaited<ReturnType<typeof evaluateControl>>,
): Promise<string> {
  const { base, steps, guidance, seed, judge, condition } = evaluation
  const { proportion_empty_prompts: emptied } = controlnetSchema.parse(run.recipe)
  const first = (pictures: NdArray<'f32'>) => pictures.slice(0, 0, Math.min(SHOWN, captions.length))
  const rows = NdArray.concat([first(hintsOf(maps).mul(2).sub(1) as NdArray<'f32'>), first(made), first(plain)])
  const [height, width] = rows.shape.slice(2).map((side) => 2 * side) as [number, number]
  const large = resize(rows, { height, width, kernel: 'box' })
  await writePng(
    join(dir, 'pictures', 'maps.png'),
    imageGrid(imagesOf(large), { columns: Math.min(SHOWN, captions.length), gap: 4 }),
  )
  return `${frontMatter({ license: 'mit', library_name: 'diffusers', tags: ['langevin', 'stickers', 'controlnet'] })}

# ${name}

A ControlNet (Zhang et al. 2023) for [${base}](../${base}): a copy of its encoder that was trained to follow control images, while the model itself stays \
as it is. ${inWords(run.parameters)} parameters, ${megabytes(dir)} MB, trained in TypeScript by langevin; langevin and Python's diffusers both load it. \
Its control images show ${conditionWords[condition]}.

![Control images, pictures made with them, and pictures of the same captions and noise without](pictures/maps.png)

The first ${SHOWN} test captions, none chosen: control images, the pictures made with them (${steps} steps, guidance ${guidance}, from seed ${seed}), and \
what the same captions and noise give without: ${captions.slice(0, SHOWN).join('; ')}.

\`\`\`sh
langevin generate "${captions[0]}" --model ${base} --controlnet ${name} --control map.png
\`\`\`

## Data

${sceneDataSection(data)}

Control images are made of the scenes as training goes on. ${Math.round(100 * emptied)} % of the captions were left out.

${trainingSection(run, command)}

## Quality

On ${evaluation.maps} scenes that training did not show, in captions worded otherwise. **Overlap**: intersection over union of what stands before the \
background in the picture and in its map, ± standard error. The rest is asked of [${judge}](../${judge}), with 95 % intervals: **placed**: an object of the \
scene is found with its centre in its own box; **object**: a named object is there; **precision**: an object that is there was named; **exact**: all that the caption says.

${inMarkdown(controlTable(evaluation))}

To measure again: \`langevin evaluate ${name}\` (what it printed is in [evaluation.json](evaluation.json)).

## Limits

- It acts on ${base} alone, at ${controlnetSchema.parse(run.recipe).resolution} pixels, and knows what that knows.
- Control images of another kind mean nothing to it.

## Licence

The weights: MIT, as langevin. The icons that they learnt from: as above.
`
}
