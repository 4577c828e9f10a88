import { z } from 'zod'
import { evaluateOptions } from '../recipes/evaluation/options.ts'
import { defineCommand, onInterrupt } from './command.ts'

export const card = defineCommand({
  name: 'card',
  summary: 'a trained model with its card, as a folder to publish',
  description:
    'Takes the latest checkpoint of a training run and writes the model, its recipe, and a model card: what it was trained on, how and for how long, its loss curve, uncurated samples, and its quality, measured as langevin evaluate does. Only models of stickers can be measured.',
  positional: ['run'],
  options: z.object({
    run: z.string().meta({ description: 'the output folder of langevin train' }),
    out: z.string().meta({ description: 'the folder to write; its name is the name of the model' }),
    note: z.string().optional().meta({ description: 'a sentence for the card, after the training time' }),
    ...evaluateOptions.shape,
    device: z.enum(['cpu', 'webgpu', 'cuda']).default('cpu').meta({ description: 'where the network runs' }),
  }),
  examples: [
    ['langevin card runs/ddpm-stickers-32 --out zoo/ddpm-stickers-32', 'the bundled model, after training it again'],
    ['langevin card runs/mine --out mine --num 256', 'your own, measured quickly'],
  ],
  async run({ run, out, note, device, ...evaluate }, io) {
    const [{ publishRun }, { stageBars }] = await Promise.all([import('../recipes/cards/index.ts'), import('./stages.ts')])
    const bars = stageBars(io.err)
    try {
      await publishRun(run, out, {
        evaluate,
        ...(note === undefined ? {} : { note }),
        engine: { device },
        signal: onInterrupt(),
        warn: (message) => io.err.write(`${message}\n`),
        onStep: bars.update,
      })
      io.out.write(`${out}\n`)
    } finally {
      bars.stop()
    }
  },
})
