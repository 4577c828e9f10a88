import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { z } from 'zod'
import type { Comparison, Entrant } from '../recipes/evaluation/compare.ts'
import { evaluateOptions } from '../recipes/evaluation/options.ts'
import { defineCommand, onInterrupt, printResult } from './command.ts'
import { UsageError } from './errors.ts'
import { stageOf } from './generate/cascade.ts'
import { writable } from './outputs.ts'

const { num, seed, batch, steps, judge, rank } = evaluateOptions.shape
/** Pictures of each model that are kept. */
const SHOWN = 8
/** What of a page is written anew. */
const marks = ['<!-- compared -->', '<!-- /compared -->'] as const

export const compare = defineCommand({
  name: 'compare',
  summary: 'text-to-image models side by side, on the same captions',
  description: `Measures any number of text-to-image models on the same captions, of sticker scenes that no training showed: how often pictures are exact, objects that are missing or were not named, the Fréchet distance to real pictures, parameters, core hours of training, and the seconds of one picture. In the folder of --out: comparison.json, two charts, and the first pictures of each model. Models that are in it already stay, so that a comparison grows.

A model is a folder, a bundled one's name or one on the hub. A cascade is written with plus signs between its stages, and options behind a semicolon: "MODEL + MODEL; noise-level=100". Of the first stage also candidates=64: of so many pictures of a caption the one that CLIP finds best. guidance is what the model's card says, unless it is given, or chosen on validation captions.`,
  positional: ['models'],
  options: z.object({
    models: z
      .array(z.string())
      .default([])
      .meta({ description: 'the models; none writes the table of those that were measured' }),
    num: num.default(500).meta({ description: 'test captions, 500 at most' }),
    validation: z.int().min(0).max(500).default(50).meta({
      description: 'validation captions on which guidance is chosen, where nothing says it; 0 takes 4',
    }),
    seed,
    batch: batch.default(32),
    steps: steps.meta({ description: 'sampling steps, where a model has none of its own behind its name; 20 by default' }),
    judge,
    rank,
    out: z.string().default('comparison').meta({ description: 'the folder for what was measured' }),
    page: z
      .string()
      .optional()
      .meta({
        description: `a Markdown file that gets the table and pictures, between ${marks[0]} and ${marks[1]}`,
      }),
    device: z.enum(['cpu', 'webgpu', 'cuda']).default('cpu').meta({ description: 'where the networks run' }),
    threads: z.int().min(0).optional().meta({ description: 'processor cores to use; 0 for all' }),
    json: z.boolean().default(false).meta({ description: 'print one line of JSON' }),
  }),
  examples: [
    ['langevin compare stickers-t2i --num 100', 'one model'],
    ['langevin compare "stickers-imagen + stickers-imagen-64; noise-level=100"', 'a cascade'],
    ['langevin compare "stickers-dalle; candidates=64" --out comparison', 'DALL·E with CLIP, added to what is there'],
  ],
  async run({ models, out, page, device, threads, json, ...options }, io) {
    const entrants = await Promise.all(models.map(entrantOf))
    const file = join(out, 'comparison.json')
    const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Comparison) : undefined
    if (page !== undefined) checkPage(page)
    const { HELD_OUT } = await import('../recipes/held-out.ts')
    const same =
      before &&
      before.seed === options.seed &&
      before.judge === options.judge &&
      before.captions === Math.min(options.num, HELD_OUT)
    if (before && entrants.length > 0 && !same)
      throw new UsageError(
        `--out: ${file} is of ${before.captions} captions, seed ${before.seed}, judged by ${before.judge}: give the same, or another folder`,
      )
    if (!before && entrants.length === 0) throw new UsageError(`<models>: ${file} is not there yet: name a model`)
    mkdirSync(out, { recursive: true })
    writable(file)
    let comparison = before
    if (entrants.length > 0) {
      const [{ openComparison }, { stageBars }] = await Promise.all([
        import('../recipes/evaluation/compare.ts'),
        import('./stages.ts'),
      ])
      const bars = stageBars(io.err)
      const engine = { device, ...(threads !== undefined && { threads }) }
      const opened = await openComparison(options, { engine, signal: onInterrupt(), onStep: bars.update })
      try {
        const shared = { kind: 'comparison', captions: opened.captions.length, seed: options.seed, judge: options.judge } as const
        for (const entrant of entrants) {
          const { model, pictures } = await opened.measure(entrant)
          const others = (comparison?.models ?? []).filter(({ name }) => name !== model.name)
          comparison = { ...shared, real: opened.real, models: [...others, model] }
          await keep(comparison, [
            ['real', opened.images],
            [model.name, pictures],
          ])
        }
      } finally {
        bars.stop()
        await opened.release()
      }
    }
    const [{ comparisonTable }, { inColumns }] = await Promise.all([
      import('../recipes/evaluation/comparison-tables.ts'),
      import('../recipes/evaluation/tables.ts'),
    ])
    const found = comparison as Comparison
    if (page !== undefined) await writePage(page, out, found)
    printResult(io, json, found, () => inColumns(comparisonTable(found)))

    /** All that is known by now, so that nothing is lost where a later model fails. */
    async function keep(of: Comparison, strips: readonly (readonly [string, Parameters<typeof strip>[1]])[]): Promise<void> {
      const [{ writeJson }, { comparisonCharts }, { drawChart, savePng }] = await Promise.all([
        import('../checkpoints/json.ts'),
        import('../recipes/evaluation/comparison-tables.ts'),
        import('../images/index.ts'),
      ])
      writeJson(file, JSON.parse(JSON.stringify(of)))
      for (const [name, chart] of Object.entries(comparisonCharts(of)))
        if (chart) await savePng(join(out, `${name}.png`), await drawChart(chart))
      for (const [name, pictures] of strips) await strip(join(out, pictureOf(name)), pictures)
    }
  },
})

/** The file of a model's pictures. */
const pictureOf = (name: string): string => `${name.replaceAll(/[^\w.-]+/g, '-')}.png`

async function strip(path: string, pictures: import('../runtime/ndarray.ts').NdArray<'f32'>): Promise<void> {
  const { imageGrid, resize, savePng } = await import('../images/index.ts')
  const some = pictures.slice(0, 0, Math.min(SHOWN, pictures.shape[0] as number)).clamp(-1, 1)
  const [height, width] = some.shape.slice(2).map((side) => (side as number) * 2) as [number, number]
  await savePng(path, imageGrid(resize(some as typeof pictures, { width, height, kernel: 'box' }), { columns: SHOWN, gap: 4 }))
}

/** `MODEL + MODEL; OPTION=VALUE`, each stage with its own options. @throws UsageError */
async function entrantOf(text: string): Promise<Entrant> {
  const pieces = existsSync(text) ? [text] : text.split(/\s*\+\s*/)
  let candidates: number | undefined
  const [first = '', ...later] = pieces.map((piece, i) => {
    const found = i === 0 ? /;\s*candidates\s*=\s*(\d+)/.exec(piece) : null
    if (!found) return piece
    candidates = Number(found[1])
    if (candidates < 1) throw new UsageError(`<models>: ${text}: of no candidates none is the best`)
    return piece.replace(found[0], '')
  })
  const { modelPath } = await import('../recipes/stored.ts')
  const { nameOf } = await import('../recipes/evaluation/provenance.ts')
  const stages = await Promise.all(
    [first, ...later].map(async (piece) => {
      const { model, options } = await stageOf(piece, '<models>')
      return { model: modelPath(model), options }
    }),
  )
  const name = stages.map(({ model }) => nameOf(model)).join(' + ')
  const best = candidates !== undefined && candidates > 1 ? `, best of ${candidates}` : ''
  return { name: `${name}${best}`, stages: stages as unknown as Entrant['stages'], candidates }
}

/** @throws UsageError for a page without the two marks */
function checkPage(page: string): string {
  const text = existsSync(page) ? readFileSync(page, 'utf8') : ''
  const [from, to] = marks.map((mark) => text.indexOf(mark)) as [number, number]
  if (from < 0 || to < from) throw new UsageError(`--page: ${page} has no ${marks[0]} with ${marks[1]} behind it`)
  return text
}

/** Puts the table, the charts and the pictures between a page's marks. */
async function writePage(page: string, out: string, comparison: Comparison): Promise<void> {
  const [{ comparisonTable }, { inMarkdown }, { writeAtomic }] = await Promise.all([
    import('../recipes/evaluation/comparison-tables.ts'),
    import('../recipes/evaluation/tables.ts'),
    import('../checkpoints/atomic.ts'),
  ])
  const text = checkPage(page)
  const folder = relative(dirname(resolve(page)), resolve(out))
    .split(sep)
    .join('/')
  const image = (words: string, file: string) => (existsSync(join(out, file)) ? [`![${words}](${folder}/${file})`] : [])
  const parts = [
    inMarkdown(comparisonTable(comparison)),
    ...image('Exact pictures against core hours of training', 'training.png'),
    ...image('Exact pictures against the seconds of one', 'seconds.png'),
    ...['real', ...comparison.models.map(({ name }) => name)].flatMap((name) => {
      const words = name === 'real' ? 'real pictures' : name
      return [`**${words}**`, ...image(`${words} of the first test captions`, pictureOf(name))]
    }),
  ]
  const [start, end] = [text.indexOf(marks[0]) + marks[0].length, text.indexOf(marks[1])]
  writeAtomic(page, `${text.slice(0, start)}\n${parts.join('\n\n')}\n${text.slice(end)}`)
}
