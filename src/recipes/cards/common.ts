import { join } from 'node:path'
import { writeAll, writeAtomic } from '../../checkpoints/atomic.ts'
import { backgroundNames, iconSources, type Style } from '../../data/index.ts'
import { drawChart, encodePng, imageGrid, resize } from '../../images/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { duration } from '../../training/index.ts'
import { trainingSchema } from '../../training/options.ts'
import { type StickersConfig, stickersOf } from '../data.ts'
import { inMarkdown, short, type Table } from '../evaluation/tables.ts'
import type { RecipeJson } from '../open.ts'
import { isLanguageRecipe } from '../tasks/language/job.ts'
import { t5Type } from '../tasks/t5/t5.ts'
import type { Run, RunFacts } from './run.ts'

export const whole = (count: number): string => count.toLocaleString('en-US')

/** A number of parameters in words: `2.7 million`. */
export const inWords = (count: number): string =>
  count >= 1e6 ? `${(count / 1e6).toFixed(1)} million` : `${Math.round(count / 1e3)} thousand`

export async function writePng(file: string, picture: Parameters<typeof encodePng>[0]): Promise<void> {
  const png = await encodePng(picture, { compressionLevel: 9 })
  writeAtomic(file, (fd) => writeAll(fd, png))
}

/** Pictures [N, C, H, W] in rows of eight, every pixel as a square of 2 × 2. */
export function enlargedGrid(pictures: NdArray<'f32'>) {
  const [height, width] = pictures.shape.slice(2).map((side) => 2 * side) as [number, number]
  return imageGrid(resize(pictures, { width, height, kernel: 'box' }), { columns: 8, gap: 4 })
}

/** The loss of every step. */
export async function writeLossChart(
  dir: string,
  name: string,
  { log, stretches }: Pick<Run, 'log' | 'stretches'>,
): Promise<void> {
  const batches = stretches.map(({ batch }) => batch)
  const [least, most] = [Math.min(...batches), Math.max(...batches)]
  const average = Math.max(1, Math.round(log.length / 80))
  const chart = await drawChart({
    title: `${name}: training loss`,
    subtitle: `batches of ${least === most ? most : `${least} to ${most}`}; faint: every step, bold: the mean of ${average} steps`,
    x: { name: 'step' },
    y: { name: 'loss', scale: 'log' },
    series: [{ name: 'loss', points: log.map(({ step, loss }) => [step as number, loss as number]), average }],
  })
  await writePng(join(dir, 'pictures', 'loss.png'), chart)
}

function sourceLine(style: Style): string {
  const { title, author, licence, url } = iconSources[style]
  return `- [${title}](${url}), © ${author}, ${licence} licence`
}

/** Where the pictures come from. */
export async function dataSection(data: StickersConfig, side: number): Promise<string> {
  const { styles, categories, scale, nouns, lattice } = data
  const of = async (split: 'train' | 'test') => (await stickersOf(data, { size: side, split })).icons.length
  const [least, most] = scale.map((share) => Math.round(100 * share))
  const placed =
    least === most ? `a random place (${most} % of the side)` : `a random place and size (${least}–${most} % of the side)`
  const held = `${nouns ? 'Of these' : 'of the icons that were trained on'}, one background in ten each`
  if (nouns) {
    const sides = lattice ? `${lattice.sides.join(' or ')} of ${lattice.cells} cells wide, at whole cells,` : `at ${placed},`
    return [
      ...styles.map((style) => sourceLine(style)),
      '',
      `${whole(nouns.length)} stickers, each ${sides} on one of ${backgroundNames.length} plain backgrounds, rendered at ${side}×${side}. ${held} was held out. \
The stickers: ${nouns.join(', ')}.`,
    ].join('\n')
  }
  const [shown, heldOut] = [await of('train'), await of('test')]
  return [
    ...styles.map((style) => sourceLine(style)),
    '',
    `Categories: ${categories.join(', ')}. ${whole(shown)} icons, each at ${placed}, on one of \
${backgroundNames.length} plain backgrounds, rendered at ${side}×${side}. ${heldOut} more icons, one in ten by a hash of the name, were held out, \
and ${held}. Nothing was mirrored, cropped or recoloured.`,
  ].join('\n')
}

/** How the run was made. */
export function runTable({ step, recipe, environment, stretches, seconds, loggedSteps, parameters, note }: RunFacts): Table {
  const flags = trainingSchema.parse(recipe.training)
  const planned = flags.max_train_steps === step ? '' : ` of ${whole(flags.max_train_steps)} planned`
  const pictures = stretches.reduce((sum, { from, to, batch }) => sum + (to - from) * batch, 0)
  const logged = loggedSteps < step ? ` for the last ${whole(loggedSteps)} steps` : ''
  const { cpu, memory, node, packages } = environment
  return [
    ['', ''],
    ['parameters', whole(parameters)],
    [
      'steps',
      `${whole(step)}${planned}, ${whole(pictures)} ${recipe.recipe === t5Type.name || isLanguageRecipe(recipe.recipe) ? 'texts' : 'pictures'}`,
    ],
    ['batch', String(stretches.at(-1)?.batch)],
    [
      'optimizer',
      `${flags.optimizer === 'muon' ? 'Muon for matrices, ' : ''}AdamW, β ${flags.adam_beta1} and ${flags.adam_beta2}, weight decay ${flags.adam_weight_decay}, gradients clipped to ${flags.max_grad_norm}`,
    ],
    ['learning rate', `${flags.learning_rate}, ${flags.lr_scheduler} after ${flags.lr_warmup_steps} steps of warm-up`],
    ['average of the weights', flags.ema_decay > 0 ? `decay ${flags.ema_decay}; it is what is saved, as float16` : 'none'],
    ['seed', String(flags.seed)],
    ...stretches.slice(0, -1).map((own) => [`steps ${whole(own.from + 1)} to ${whole(own.to)}`, differences(own.recipe, recipe)]),
    ['time', `${duration(seconds)}${logged}, ${short(seconds / loggedSteps)} s a step${note ? `; ${note}` : ''}`],
    [
      'machine',
      `${cpu.model}, ${cpu.cores} cores, ${Math.round(memory.total / 2 ** 30)} GiB; Node ${node}, ONNX Runtime ${packages['onnxruntime-node']}, on ${flags.device}`,
    ],
  ]
}

/** Flags that do not decide what a step does. */
const handling = /^training\.(check|validation|resume|device|threads)/

/** What a recipe says that another does not, in its own words: `pool 32768, training.optimizer adamw, without data.lattice`. */
function differences(recipe: RecipeJson, other: RecipeJson): string {
  const [own, others] = [new Map(fieldsOf(recipe)), new Map(fieldsOf(other))]
  const said = [...own].filter(([key, value]) => others.get(key) !== value && !handling.test(key))
  /** Of a field that is not there, the outermost part of its path that is not there either. */
  const absent = (key: string): string => {
    const parent = key.slice(0, key.lastIndexOf('.'))
    return key.includes('.') && ![...own.keys()].some((one) => one.startsWith(`${parent}.`)) ? absent(parent) : key
  }
  const without = new Set([...others.keys()].filter((key) => !own.has(key) && !handling.test(key)).map(absent))
  return [
    ...said.map((pair) => pair.join(' ')).sort(),
    ...(without.size > 0 ? [`without ${[...without].sort().join(', ')}`] : []),
  ].join(', ')
}

/** All values with their paths. */
function fieldsOf(value: unknown, path = ''): [string, string][] {
  if (typeof value !== 'object' || value === null) return [[path, String(value)]]
  if (Array.isArray(value) && value.every((one) => typeof one !== 'object')) return [[path, value.join(' ')]]
  return Object.entries(value).flatMap(([key, inner]) => fieldsOf(inner, path ? `${path}.${key}` : key))
}

/** How a model was trained, and how to train it again. */
export const trainingSection = (run: RunFacts, command: string): string => `## Training

Everything is in [recipe.json](recipe.json).

${inMarkdown(runTable(run), { words: true })}

![Loss](pictures/loss.png)

Again: \`${command}\``

/** The front matter that model hubs read. */
export const frontMatter = (fields: Readonly<Record<string, string | readonly string[]>>): string =>
  [
    '---',
    ...Object.entries(fields).flatMap(([key, value]) =>
      typeof value === 'string' ? `${key}: ${value}` : [`${key}:`, ...value.map((one) => `- ${one}`)],
    ),
    '---',
  ].join('\n')

/** Paragraphs and list items broken at a width; tables, code, headings and pictures as they are. */
export function wrapped(markdown: string, width = 120): string {
  const parts = markdown.split(/(^```[\s\S]*?^```$|^---\n[\s\S]*?^---$)/m)
  return parts.map((part, i) => (i % 2 === 1 ? part : part.split('\n').flatMap(wrapLine).join('\n'))).join('')

  function wrapLine(line: string): string[] {
    if (line.length <= width || /^[|#!]/.test(line)) return [line]
    const indent = line.startsWith('- ') ? '  ' : ''
    const lines = ['']
    for (const word of line.split(' ')) {
      const last = lines.at(-1) as string
      if (last === '') lines[lines.length - 1] = word
      else if (last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
      else lines.push(indent + word)
    }
    return lines
  }
}
