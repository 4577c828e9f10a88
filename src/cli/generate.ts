import { basename } from 'node:path'
import type { Pipeline, Progress, Result } from '../pipelines/index.ts'
import { defineCommand, type Io, onInterrupt, printResult } from './command.ts'
import { loadOptionsOf } from './generate/load.ts'
import { aliases, type Options, options } from './generate/options.ts'
import { checkCounts, checkOptions, runOptionsOf } from './generate/run-options.ts'
import { type Entry, write } from './generate/write.ts'
import { writable } from './outputs.ts'

export const generate = defineCommand({
  name: 'generate',
  summary: 'pictures from a prompt, by any model that has a pipeline here',
  description:
    "Makes what diffusers would make of a checkpoint for the same settings and seed: from a prompt, from a picture (--image), where a mask is white (--mask), by a control image (--controlnet, --control). The model's class, and what is given, say which pipeline it is, and that pipeline's defaults hold; what it has no use for is refused. The settings are in the file: langevin info shows them.",
  positional: ['prompt'],
  options,
  aliases,
  examples: [
    ['langevin generate "two frogs on a pink background" --num 4 --grid', 'by the bundled model of 64×64 stickers'],
    ['langevin generate "a red fox" --model path/to/stable-diffusion --out fox.png', 'from a folder'],
    ['langevin generate "a red fox" --model org/name --scheduler dpm++ --steps 20', 'from the hub, with another sampler'],
    ['langevin generate "in winter" --model path/to/model --image fox.png --strength 0.6', 'from a picture'],
    ['langevin generate "a hat" --model path/to/model --image fox.png --mask head.png', 'a part of it repainted'],
  ],
  async run(flags, io) {
    const given = flags as Options
    const target = writable(given.out)
    checkCounts(given)
    const [{ loadPipeline }, { chooseDevice }] = await Promise.all([
      import('../pipelines/index.ts'),
      import('../runtime/devices.ts'),
    ])
    const began = performance.now()
    if (given.device !== 'cpu') await chooseDevice(given.device)
    const signal = onInterrupt()
    const settings = await runOptionsOf(given)
    const pipeline = await loadPipeline(given.model, loadOptionsOf(given))
    try {
      checkOptions(pipeline, settings)
      const { seed, num: each = 1 } = pipeline.schema.parse(settings) as { readonly seed?: number; readonly num?: number }
      const plan = pipeline.plan(settings)
      const num = plan.pictures ?? each
      const grid = given.grid && num > 1
      for (let k = 0; k < (grid ? 1 : num); k++) writable(numbered(target, k))
      const result = await finished(pipeline, { ...settings, signal }, io)
      const entries = describe(given, settings, plan, { seed, num, grid })
      const made = await write(result, { target, numbered, entries, grid, draw: given.draw && !given.json, io })
      const seconds = (performance.now() - began) / 1000
      printResult(io, given.json, { pictures: made, seconds }, () => made.map((one) => one.file ?? one.text).join('\n'))
    } finally {
      await pipeline.release()
    }
  },
})

/** picture.png, picture-1.png, … */
const numbered = (target: string, k: number) => (k === 0 ? target : target.replace(/(\.png)$/i, `-${k}$1`))

/** A run's result, its progress shown: a bar for each stage of a cascade. */
async function finished(pipeline: Pipeline, settings: Parameters<Pipeline['generate']>[0], io: Io): Promise<Result> {
  const [{ finish }, { progress }] = await Promise.all([import('../diffusion/index.ts'), import('../training/logs/progress.ts')])
  let bar: { readonly stage: number | undefined; readonly shown: ReturnType<typeof progress> } | undefined
  try {
    return await finish(pipeline.generate(settings), ({ done, total, stage }: Progress) => {
      if (!bar || bar.stage !== stage) {
        bar?.shown.stop()
        bar = { stage, shown: progress({ total, stream: io.err }) }
      }
      bar.shown.update(done)
    })
  } finally {
    bar?.shown.stop()
  }
}

/** What is written with the k-th picture. */
function describe(
  given: Options,
  { prompt, negative }: Readonly<Record<string, unknown>>,
  { settings: { Steps, Sampler, 'CFG scale': guidance, ...more }, together }: ReturnType<Pipeline['plan']>,
  { seed, num, grid }: { readonly seed: number | undefined; readonly num: number; readonly grid: boolean },
): (k: number, size: string) => Entry {
  const names = (list: readonly string[]) => list.map((name) => basename(name)).join('; ') || undefined
  const shared = together && num > 1 && !grid
  return (k, size) => ({
    prompt: String(prompt ?? ''),
    negative: negative as string | undefined,
    settings: {
      ...{ Steps, Sampler, 'CFG scale': guidance },
      Seed: seed === undefined || shared ? seed : seed + k,
      // One of several that share what the first one's generator draws: its own seed alone would give another.
      ...(shared && { 'Batch size': num, 'Batch pos': k }),
      Pictures: grid ? num : undefined,
      Size: size,
      Model: basename(given.model).replace(/\.safetensors$/, ''),
      ...more,
      ControlNet: names(given.controlnet),
      'IP-Adapter': names(given.ipAdapter),
      'T2I-Adapter': names(given.adapter),
      Lora: names(given.lora),
      VAE: given.vae && basename(given.vae),
      Refiner: given.refiner && basename(given.refiner),
      'Step cache': given.cache,
      Quantization: given.quantize,
    },
  })
}
