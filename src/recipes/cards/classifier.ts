import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { StickersConfig } from '../data.ts'
import type { ClassifierEvaluation } from '../evaluation/evaluate.ts'
import { accuracyTable, inMarkdown } from '../evaluation/tables.ts'
import { dataSection, frontMatter, inWords, runTable } from './common.ts'
import type { RunFacts } from './run.ts'

export interface ClassifierCard {
  readonly dir: string
  readonly name: string
  readonly run: RunFacts
  readonly data: StickersConfig
  /** Pixels a side. */
  readonly side: number
  /** Widths of the levels; the last is that of the features. */
  readonly widths: readonly number[]
  /** Classes by head. */
  readonly heads: Readonly<Record<string, readonly string[]>>
  /** How to train it again. */
  readonly command: string
  readonly evaluation: ClassifierEvaluation
}

/** The card of a classifier. */
export async function classifierCard(card: ClassifierCard): Promise<string> {
  const { dir, name, run, data, side, widths, heads, command, evaluation } = card
  const kilobytes = statSync(join(dir, 'model.safetensors')).size / 1e3
  const told = Object.entries(heads).map(([head, classes]) => `${head} (${classes.length} classes)`)
  return `${frontMatter({ license: 'mit', pipeline_tag: 'image-classification', tags: ['langevin', 'stickers'] })}

# ${name}

A small residual classifier of ${side}×${side} stickers: ${told.join(', ')}. ${inWords(run.parameters)} parameters, ${kilobytes.toFixed(0)} kB. \
Trained from nothing in TypeScript by langevin. Its use is to measure models that sample such stickers: \`langevin evaluate\` \
compares pictures by its ${widths.at(-1)} features, what is left of a picture before the heads.

\`\`\`sh
langevin evaluate ddpm-stickers-32 --classifier ${name}
\`\`\`

## Data

${await dataSection(data, side)}

## Network and training

Residual blocks with norm and activation before each convolution, ${widths.join(', ')} channels, each level at half the resolution of \
the one before; the average over the picture, layer norm (these are the features), a linear head a question. The loss is the \
sum of the heads' cross-entropies. Everything is in [recipe.json](recipe.json).

${inMarkdown(runTable(run), { words: true })}

![Loss](pictures/loss.png)

Again: \`${command}\`

## Quality

The share of right answers on pictures that training did not show:

${inMarkdown(accuracyTable(evaluation))}

To measure again: \`langevin evaluate ${name}\` (what it printed is in [evaluation.json](evaluation.json)).

## Limits

- It knows the icons that it was trained on, on plain backgrounds at ${side}×${side} pixels. Of anything else its features say little.
- Fréchet distances in its features are not FIDs and compare only with distances in the same features.

## Licence

The weights: MIT, as langevin. The icons that they learnt from: as above.
`
}
