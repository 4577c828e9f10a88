import { basename, join } from 'node:path'
import { z } from 'zod'
import { openRecipe, prepare, recipes } from '../recipes/index.ts'
import { chooseDevice } from '../runtime/devices.ts'
import type { ProgressStream } from '../training/logs/progress.ts'
import { optimizerNames } from '../training/optimizer.ts'
import { type TrainingConfig, trainingSchema } from '../training/options.ts'
import { runTraining } from '../training/run.ts'
import { defineCommand, onInterrupt } from './command.ts'
import { stageBars } from './stages.ts'
import { runSweep } from './sweep.ts'

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
    sweep: z
      .boolean()
      .default(false)
      .meta({ description: 'instead of training, compare learning rates and optimizers in short runs on the same batches' }),
    sweep_steps: z.int().positive().default(200).meta({ description: 'steps of each run of a sweep' }),
    sweep_learning_rates: z
      .string()
      .transform((text) => text.split(',').map(Number))
      .pipe(z.array(z.number('must be numbers with commas between them').positive()))
      .optional()
      .meta({
        description:
          'learning rates of a sweep, for example 1e-4,1e-3; by default five from a quarter to four times the recipe’s',
      }),
    sweep_optimizers: z
      .string()
      .default(optimizerNames.join(','))
      .transform((text) => text.split(','))
      .pipe(z.array(z.enum(optimizerNames)))
      .meta({ description: 'optimizers of a sweep' }),
  }),
  positional: ['recipe'],
  examples: [
    ['langevin train ddpm-stickers-32', 'the bundled model again, from nothing'],
    ['langevin train ddpm-stickers-32 --max-train-steps 200 --output-dir /tmp/try', 'a short try'],
    ['langevin train my-pictures.json --sweep', 'finds a learning rate and optimizer before a long run'],
    ['langevin train my-pictures.json', 'your own folder of pictures, see docs/training.md'],
  ],
  async run({ recipe: name, sweep, sweep_steps, sweep_learning_rates, sweep_optimizers, ...given }, io) {
    const warn = (message: string) => io.err.write(`${message}\n`)
    const signal = onInterrupt({
      terminate: true,
      say: () => warn('stopping after this step; once more stops at once, without saving it'),
    })
    const recipe = openRecipe(name)
    const { device = recipe.training.device ?? 'cpu' } = given as Partial<TrainingConfig>
    // Before the work: what the machine lacks, and how to get it.
    if (device !== 'cpu') await chooseDevice(device)
    const stream = { write: (text: string) => io.err.write(text), isTTY: io.err === process.stderr && process.stderr.isTTY }
    const check = checkBar(stream)
    const { job, config } = await prepare(recipe, given as Partial<TrainingConfig>, { onProgress: check.update, warn })
    check.stop()
    const dir = config.output_dir ?? join('runs', basename(name, '.json'))
    if (sweep) {
      const tried = { steps: sweep_steps, rates: sweep_learning_rates, optimizers: sweep_optimizers }
      return runSweep(job.task, config, tried, { io, stream, signal, dir: config.output_dir ?? `${dir}-sweep` })
    }
    const step = await runTraining(job, config, { dir, stream, signal, warn, say: warn })
    if (signal.aborted) warn(stopped(dir, step, config.max_train_steps))
    signal.throwIfAborted()
    io.out.write(`${step} steps, model in ${join(dir, 'model')}\n`)
  },
})

const stopped = (dir: string, step: number, total: number): string =>
  step > 0
    ? `stopped after step ${step} of ${total}, saved as ${join(dir, `checkpoint-${step}`)}; the same command goes on from there`
    : 'stopped before the first step'

/** A bar for the check of the pictures, from its second second on. */
function checkBar(stream: ProgressStream) {
  const start = performance.now()
  const bars = stageBars(stream)
  return {
    update: (done: number, total: number): void => {
      if (performance.now() - start > 1000) bars.update({ stage: 'checking the pictures', done, total })
    },
    stop: () => bars.stop(),
  }
}
