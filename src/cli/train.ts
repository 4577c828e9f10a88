import { basename, join } from 'node:path'
import { z } from 'zod'
import { openRecipe, prepare, recipes } from '../recipes/index.ts'
import { type TrainingConfig, trainingSchema } from '../training/options.ts'
import { runTraining } from '../training/run.ts'
import { defineCommand, onInterrupt } from './command.ts'

/** The training flags without their defaults, which are the recipe's to give. */
const flags = Object.fromEntries(
  Object.entries(trainingSchema.shape).map(([name, field]) => {
    const bare: z.ZodType = field instanceof z.ZodDefault ? (field.unwrap() as z.ZodType) : field
    return [name, bare.optional().meta(field.meta() ?? {})]
  }),
)

const list = Object.entries(recipes)
  .map(([name, { summary }]) => `  ${name.padEnd(20)} ${summary}`)
  .join('\n')

export const train = defineCommand({
  name: 'train',
  summary: 'train a model from scratch',
  description: `Trains a recipe, or a JSON file of the same form, and leaves in the output folder:
  checkpoint-N/  what a run resumes from, also after a crash, with bit-identical losses
  samples/       grids of pictures as training goes on
  log.csv, logs/ loss and learning rate of every step, as a table and for TensorBoard
  model/         the finished model, in diffusers' layout

Recipes:
${list}`,
  options: z.object({
    recipe: z.string().meta({ description: 'a recipe by name, or a .json file' }),
    ...flags,
  }),
  positional: ['recipe'],
  examples: [
    ['langevin train ddpm-stickers-32', 'the bundled model again, from nothing'],
    ['langevin train ddpm-stickers-32 --max-train-steps 200 --output-dir /tmp/try', 'a short try'],
    ['langevin train my-pictures.json', 'your own folder of pictures, see docs/training.md'],
  ],
  async run({ recipe: name, ...given }, io) {
    const signal = onInterrupt()
    const { job, config } = await prepare(openRecipe(name), given as Partial<TrainingConfig>)
    const dir = config.output_dir ?? join('runs', basename(name, '.json'))
    const stream = { write: (text: string) => io.err.write(text), isTTY: io.err === process.stderr && process.stderr.isTTY }
    const warn = (message: string) => io.err.write(`${message}\n`)
    const step = await runTraining(job, config, { dir, stream, signal, warn })
    signal.throwIfAborted()
    io.out.write(`${step} steps, model in ${join(dir, 'model')}\n`)
  },
})
