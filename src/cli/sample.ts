import { basename } from 'node:path'
import { z } from 'zod'
import { ddpmOptions } from '../pipelines/ddpm/model.ts'
import { pictureSamplers } from '../pipelines/ddpm/unconditional.ts'
import { defineCommand, onInterrupt, printResult, version } from './command.ts'
import { writable } from './outputs.ts'

const options = z.object({
  model: z.string().meta({ description: "a folder in diffusers' layout, or the name of a bundled model" }),
  ...ddpmOptions.shape,
  num: ddpmOptions.shape.num.default(16),
  scheduler: z.enum(pictureSamplers).optional().meta({
    description: "the sampler; by default the one that the model's folder names. A score SDE also has pc, sde and ode",
  }),
  steps: z
    .int()
    .positive()
    .optional()
    .meta({ description: 'sampling steps; by default as many as in training with ddpm, 200 with pc and sde, else 50' }),
  out: z
    .string()
    .regex(/\.png$/i, 'must end in .png')
    .default('grid.png')
    .meta({ description: 'the picture to write, all in a grid' }),
  columns: z.int().positive().optional().meta({ description: 'columns of the grid; near-square by default' }),
  device: z.enum(['cpu', 'webgpu', 'cuda']).default('cpu').meta({ description: 'where the network runs' }),
  variant: z.string().optional().meta({ description: 'which weights of the folder, for example fp16' }),
  draw: z.boolean().default(true).meta({ description: 'do not show the picture in the terminal' }),
  json: z.boolean().default(false).meta({ description: 'print one line of JSON, draw nothing' }),
})

export const sample = defineCommand({
  name: 'sample',
  summary: 'pictures from an unconditional diffusion model',
  description:
    "Samples pictures from a DDPM, DDIM or score SDE in diffusers' folder layout and writes them as one grid. The same seed gives the same file, with the pictures that diffusers makes. The file holds its settings: langevin info shows them.",
  positional: ['model'],
  options,
  examples: [
    ['langevin sample ddpm-faces-32', '16 pictures from a bundled model'],
    ['langevin sample path/to/ddpm --num 4 --seed 7 --out four.png', 'four from a folder'],
    ['langevin sample path/to/ddpm --scheduler ddim --steps 25 --eta 1', 'fewer steps, with noise'],
    ['langevin sample score-stickers-32 --scheduler pc --steps 500', 'a score SDE by its predictor–corrector sampler'],
    ['langevin sample score-stickers-32 --scheduler ode', 'the same by its probability-flow ODE'],
  ],
  async run({ model, out, columns, device, variant, draw, json, scheduler, ...settings }, io) {
    const file = writable(out)
    const [{ finish, loadPictureModel, modelFolder }, { drawInTerminal, imageGrid, savePng }, { progress }] = await Promise.all([
      import('../pipelines/index.ts'),
      import('../images/index.ts'),
      import('../training/logs/progress.ts'),
    ])
    const began = performance.now()
    const folder = modelFolder(model)
    const pipeline = await loadPictureModel(folder, scheduler, { device, ...(variant === undefined ? {} : { variant }) })
    let bar: ReturnType<typeof progress> | undefined
    let taken = 0
    try {
      const pictures = await finish(pipeline.sample({ ...settings, signal: onInterrupt() }), ({ i, done, total }) => {
        taken = i + 1
        bar ??= progress({ total, start: done, stream: io.err })
        bar.update(done)
      })
      bar?.stop()
      const grid = imageGrid(pictures, columns === undefined ? {} : { columns })
      const { sampler } = pipeline
      const [height, width] = pictures.shape.slice(2)
      const eta = sampler === 'DDIMScheduler' ? { eta: settings.eta } : {}
      const made = {
        steps: settings.steps ?? taken,
        sampler,
        ...eta,
        seed: settings.seed,
        size: `${width}x${height}`,
        num: settings.num,
        model: basename(folder),
      }
      await savePng(file, grid, { text: { Software: `langevin ${version()}`, parameters: inWords(made) } })
      if (draw && !json) await drawInTerminal(grid, { stream: io.out })
      printResult(io, json, { file, ...made, seconds: (performance.now() - began) / 1000 }, () => file)
    } finally {
      bar?.stop()
      await pipeline.release()
    }
  },
})

/** Settings as other programs write and read them: `Steps: 20, Sampler: DDIMScheduler, Seed: 0`. */
const inWords = (settings: Readonly<Record<string, unknown>>) =>
  Object.entries(settings)
    .map(
      ([key, value]) =>
        `${key.charAt(0).toUpperCase()}${key.slice(1)}: ${/[,:"]/.test(`${value}`) ? JSON.stringify(value) : value}`,
    )
    .join(', ')
