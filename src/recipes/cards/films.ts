import { join } from 'node:path'
import { writeAtomic } from '../../checkpoints/atomic.ts'
import { writeJson } from '../../checkpoints/json.ts'
import { heldOutMotions, iconSources, sceneNouns } from '../../data/index.ts'
import { evaluateFilmCoding, filmCodingTable } from '../evaluation/film-autoencoder.ts'
import { evaluateFilms, filmTable } from '../evaluation/films.ts'
import type { EvaluateContext, EvaluateOptions } from '../evaluation/options.ts'
import { inMarkdown } from '../evaluation/tables.ts'
import { videoVaeRecipe, videoVaeType } from '../tasks/video/autoencoder.ts'
import { type FilmsConfig, filmsSchema } from '../tasks/video/fields.ts'
import { videoFlowType } from '../tasks/video/job.ts'
import { type VideoFlow, videoFlowSchema } from '../tasks/video/schema.ts'
import { frontMatter, inWords, trainingSection, wrapped } from './common.ts'
import type { RunFacts } from './run.ts'
import { megabytes } from './scene-common.ts'

interface Made {
  readonly dir: string
  readonly name: string
  readonly run: RunFacts
  /** How to train it again. */
  readonly command: string
}

/** The films that a recipe learns from; undefined for a recipe of something else. */
export const filmsIn = ({ recipe, data }: RunFacts['recipe']): FilmsConfig | undefined =>
  recipe === videoVaeType.name || recipe === videoFlowType.name ? filmsSchema.parse(data ?? {}) : undefined

/** Measures a model of films, and writes its card. */
export async function publishFilms(
  made: Made,
  { evaluate, ...context }: Omit<EvaluateContext, 'name'> & { readonly evaluate: EvaluateOptions },
): Promise<void> {
  const { dir, name, run } = made
  const watch = { ...context, name }
  const { recipe: type, training: _, ...fields } = run.recipe
  if (type === videoVaeType.name) {
    const evaluation = await evaluateFilmCoding(dir, evaluate, watch)
    writeJson(join(dir, 'evaluation.json'), { ...evaluation })
    return writeAtomic(
      join(dir, 'README.md'),
      wrapped(coderCard(made, videoVaeRecipe.parse(fields), inMarkdown(filmCodingTable(evaluation)))),
    )
  }
  const evaluation = await evaluateFilms(dir, evaluate, watch)
  writeJson(join(dir, 'evaluation.json'), { ...evaluation })
  const { steps, guidance } = evaluation
  const how = `Films were made in ${steps} steps with guidance ${guidance}.`
  writeAtomic(
    join(dir, 'README.md'),
    wrapped(flowCard(made, videoFlowSchema.parse(fields), `${how}\n\n${inMarkdown(filmTable(evaluation))}`)),
  )
}

function dataSection({ styles, nouns: words }: FilmsConfig): string {
  const sources = styles.map((style) => iconSources[style])
  const nouns = words ?? sceneNouns().map(({ words: [word] }) => word)
  return `${sources.map(({ title, author, licence, url }) => `- [${title}](${url}), © ${author}, ${licence} licence`).join('\n')}

Films of one or two of ${nouns.length} stickers that move over a plain background, with captions of their motion, rendered as training goes on. \
Never shown: ${heldOutMotions.join(' and ')}, and one pair in eight of a sticker and a motion. docs/video.md describes the data.`
}

const ending = ({ command, name, run }: Made, quality: string) => `${trainingSection(run, command)}

## Quality

${quality}

To measure again: \`langevin evaluate ${name}\` (what it printed is in [evaluation.json](evaluation.json)).

## Licence

The weights: MIT, as langevin. The icons that they learnt from: as above.
`

function coderCard(
  made: Made,
  { data, width, height, frames, rate }: ReturnType<typeof videoVaeRecipe.parse>,
  table: string,
): string {
  return `${frontMatter({ license: 'mit', tags: ['langevin', 'stickers', 'video', 'autoencoder'] })}

# ${made.name}

A causal autoencoder over space and time: of a film the first frame is coded alone, so that a picture is a film of one frame. It learnt films of ${frames} frames \
of ${width} × ${height}, ${rate} a second. ${inWords(made.run.parameters)} parameters, ${megabytes(made.dir)} MB. Trained from nothing in TypeScript by langevin.

![Every second picture of films, above what the autoencoder gives back](pictures/samples.png)

## Data

${dataSection(data)}

${ending(made, `Peak signal-to-noise ratios of films that training did not draw, ± standard error.\n\n${table}`)}`
}

function flowCard(made: Made, { data, buckets, validation_prompts: prompts }: VideoFlow, quality: string): string {
  const total = buckets.reduce((sum, { weight }) => sum + weight, 0)
  const shapes = buckets.map(
    ({ width, height, frames, rate, weight }) =>
      `- ${width} × ${height}, ${frames === 1 ? 'pictures' : `${frames} frames, ${rate} a second`}: ${Math.round((100 * weight) / total)} %`,
  )
  return `${frontMatter({ license: 'mit', tags: ['langevin', 'stickers', 'text-to-video'] })}

# ${made.name}

A diffusion transformer of spacetime patches with rectified flow: films from a prompt, from a first and a last picture, and on from a film. \
${inWords(made.run.parameters)} parameters learnt, ${megabytes(made.dir)} MB with its text encoders and its autoencoder. Trained in TypeScript by langevin.

![Films of prompts, a row each](pictures/samples.png)

The prompts: ${prompts.join('; ')}.

## Data

${dataSection(data)}

Films of these sizes and lengths trained together:

${shapes.join('\n')}

${ending(
  made,
  `A tracker follows what is unlike the background, and counts what films show of their captions; shares with their 95 % intervals. Real films tell what it misses. ${quality}`,
)}`
}
