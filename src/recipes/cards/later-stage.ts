import { join } from 'node:path'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { StageEvaluation } from '../evaluation/later-stage.ts'
import { stageTable } from '../evaluation/stage-table.ts'
import { inMarkdown } from '../evaluation/tables.ts'
import { enlargedGrid, frontMatter, inWords, runTable, writePng } from './common.ts'
import { megabytes, type SceneCard, sceneDataSection } from './scene-common.ts'

interface Found {
  readonly evaluation: StageEvaluation
  readonly pictures: NdArray<'f32'>
  readonly captions: readonly string[]
}

const SHOWN = 16

/** The card of a stage that enlarges, with pictures of the cascade. */
export async function laterStageCard(
  { dir, name, run, data, command }: SceneCard,
  { evaluation, pictures, captions }: Found,
): Promise<string> {
  const { after, steps } = evaluation
  const shown = Math.min(SHOWN, captions.length)
  await writePng(join(dir, 'pictures', 'cascade.png'), enlargedGrid(pictures.slice(0, 0, shown) as NdArray<'f32'>))
  const { resolution, low_resolution: low } = run.recipe as { readonly resolution?: number; readonly low_resolution?: number }
  return `${frontMatter({ license: 'mit', pipeline_tag: 'image-to-image', tags: ['langevin', 'stickers', 'imagen', 'cascade'] })}

# ${name}

The second stage of Imagen (Saharia et al. 2022) in small: from ${low}×${low} pictures, with noise of a level that it is told, to ${resolution}×${resolution} ones, by the \
caption, which a frozen T5 reads. The network is an Efficient U-Net with ${inWords(run.parameters)} parameters; the folder is ${megabytes(dir)} MB. It goes on from \
[${after}](../${after}). Trained from nothing in TypeScript by langevin.

\`\`\`sh
langevin generate "a red fox and a slice of pizza on a blue background" --model ${after} --steps 20 --then "${name}; steps=${steps}"
\`\`\`

![Pictures of the cascade](pictures/cascade.png)

Pictures of the first ${shown} test captions by both stages, none chosen: ${captions.slice(0, shown).join('; ')}.

![What the stage is given, makes, and real pictures](pictures/samples.png)

The stage alone, on real small pictures that training did not show.

## Data

${sceneDataSection(data)}

## Training

${inMarkdown(runTable(run), { words: true })}

![Loss](pictures/loss.png)

Everything is in [recipe.json](recipe.json). Again: \`${command}\`

## Quality

[${evaluation.judge}](../${evaluation.judge}) looks at pictures of ${evaluation.captions} captions of scenes that training never showed; small pictures are enlarged for it by \
a smooth filter. In brackets: 95 % intervals by bootstrap over pictures. The distances are not FIDs.

${inMarkdown(stageTable(evaluation))}

To measure again: \`langevin evaluate ${name}\` (what it printed is in [evaluation.json](evaluation.json)).

## Limits

- It knows what its first stage knows, and repairs little of what that drew wrong.

## Licence

The weights: MIT, as langevin. The icons that they learnt from: as above.
`
}
