/*
 * Our side of a benchmark, a process of its own: `side NAME FOLDER`. Gets ready, says so, then does one measured run for
 * each line on its standard input and writes one line of JSON for each. `side model FOLDER` writes the model for both sides.
 */
import { createInterface } from 'node:readline'
import { type Mode, modeFigures, modesCheckpoint } from './modes.ts'
import { samplerShare } from './samplers.ts'
import { type Form, sdCheckpoint, sdStep } from './sd-unet.ts'
import { type Form as Sd3PictureForm, sd3Folder, sd3Picture } from './sd3-picture.ts'
import { sd3Checkpoint, sd3Step } from './sd3-transformer.ts'
import { t5Checkpoint, t5Prompt } from './t5.ts'
import { inference, preparation, training, writeModel } from './unet.ts'
import { upscaleRun, upscalerCheckpoint } from './upscale.ts'

const [name, dir, form] = process.argv.slice(2) as [string, string, string | undefined]
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)

async function timed(run: Promise<() => Promise<unknown>>): Promise<() => Promise<object>> {
  const once = await run
  return async () => {
    const before = performance.now()
    await once()
    return { ms: performance.now() - before }
  }
}

const works: Record<string, () => Promise<() => Promise<object>>> = {
  model: async () => {
    writeModel(dir)
    return async () => ({})
  },
  'unet-inference': () => timed(inference(dir)),
  'unet-training': () => timed(training()),
  'trace-and-compile': async () => () => preparation(dir),
  'sampler-step': () => samplerShare(dir),
  'sd-unet': () => sdStep(dir, (form ?? 'float') as Form),
  'sd3-transformer': async () => sd3Step(dir, (form ?? 'float') as Form),
  t5: async () => t5Prompt(dir, (form ?? 'float') as Form),
  'sd3-picture': async () => () => sd3Picture(dir, form as Sd3PictureForm),
  'upscale-rrdb': () => upscaleRun(dir),
  'upscale-swinir': () => upscaleRun(dir),
  modes: async () => () => modeFigures(dir, form as Mode),
}

/** What all sides of a benchmark with forms share. */
const shared: Record<string, () => Promise<string>> = {
  'sd-unet model': sdCheckpoint,
  'sd3-transformer model': () => sd3Checkpoint(),
  't5 model': () => t5Checkpoint(),
  'sd3-picture model': async () => sd3Folder(),
  'modes model': modesCheckpoint,
  'upscale-rrdb model': () => upscalerCheckpoint('upscale-rrdb'),
  'upscale-swinir model': () => upscalerCheckpoint('upscale-swinir'),
}

const make = shared[name]
if (make) {
  say({ ready: true, dir: await make() })
  process.exit()
}
const run = await (works[name] as () => Promise<() => Promise<object>>)()
say({ ready: true })
for await (const _ of createInterface(process.stdin)) {
  const figures = await run()
  say({ ...figures, maxRss: process.resourceUsage().maxRSS * 1024 })
}
