import type { Pipeline } from '../pipelines/index.ts'
import { defineCommand, type Io, onInterrupt, printResult } from './command.ts'
import { laterStages } from './generate/cascade.ts'
import { checkPreprocess, controlImages } from './generate/controls.ts'
import { describe } from './generate/describe.ts'
import { enlarging } from './generate/enlarge.ts'
import { fromPicture } from './generate/from.ts'
import { axesOf, combinations, type Job, promptLines } from './generate/jobs.ts'
import { hubOf, loadOptionsOf } from './generate/load.ts'
import { aliases, type Given, type Options, options } from './generate/options.ts'
import { finished } from './generate/progress.ts'
import { candidatesOf, ranking } from './generate/rank.ts'
import { checkCounts, checkOptions, runOptionsOf, takenBy } from './generate/run-options.ts'
import { numbered, targetFor, writableTarget } from './generate/target.ts'
import { type Made, write } from './generate/write.ts'

export const generate = defineCommand({
  name: 'generate',
  summary: 'pictures and films from a prompt, by any model that has a pipeline here',
  description:
    "Makes what diffusers would make of a checkpoint for the same settings and seed: from a prompt, from a picture (--image), where a mask is white (--mask), by a control image (--controlnet, --control). The model's class, and what is given, say which pipeline it is, and that pipeline's defaults hold; what it has no use for is refused. The settings are in the file: langevin info shows them, and --from takes them.",
  positional: ['prompt'],
  options,
  aliases,
  examples: [
    ['langevin generate "two frogs on a pink background" --num 4 --grid', 'by the bundled model of 64×64 stickers'],
    ['langevin generate "a red fox" --model path/to/stable-diffusion --out fox.png', 'from a folder'],
    ['langevin generate "a red fox" --model org/name --scheduler "DPM++ 2M Karras"', 'from the hub, with another sampler'],
    ['langevin generate "in winter" --model path/to/model --image fox.png --strength 0.6', 'from a picture'],
    ['langevin generate "a hat" --model path/to/model --image fox.png --mask head.png', 'a part of it repainted'],
    ['langevin generate "on teal" --region "a fox@0,0,0.5,1" --region "a frog@0.5,0,1,1"', 'each in its half'],
    [
      'langevin generate "a fox" --model path/to/model --controlnet canny/ --control house.png --preprocess canny --control-out edges.png',
      'by the edges of a picture',
    ],
    ['langevin generate --from fox.png --model path/to/model --seed 3', "by a picture's settings, with another seed"],
    ['langevin generate "a fox" --candidates 16 --num 2 --rank path/to/clip', 'the two of 16 that CLIP finds to fit best'],
    ['langevin generate "a fox" --model IF-I --then IF-II --then "x4-upscaler; noise-level=100"', 'a cascade: each enlarges'],
    [
      'langevin generate "a fox runs" --model path/to/latte --frames 16 --fps 8 --out fox.mp4',
      'a film; also .webm, .webp, .gif, DIR/',
    ],
    ['langevin generate "a fox" --xyz "steps=10,20; guidance=1,4"', 'a grid of all four'],
  ],
  async run(flags, io) {
    const given = await fromPicture(flags as Given, io)
    if (given.out !== undefined) writableTarget(given.out)
    if (given.controlOut !== undefined && wantsMapsAlone(given)) return mapsAlone(given, io)
    checkCounts(given)
    const [{ loadCascade, loadPipeline }, { chooseDevice }] = await Promise.all([
      import('../pipelines/index.ts'),
      import('../runtime/devices.ts'),
    ])
    const began = performance.now()
    if (given.device !== 'cpu') await chooseDevice(given.device)
    const signal = onInterrupt()
    const axes = given.xyz === undefined ? [] : axesOf(given.xyz)
    const prompts = given.prompts === undefined ? [{}] : promptLines(given.prompts).map((prompt) => ({ prompt }))
    const settings = await runOptionsOf(given)
    const load = { ...loadOptionsOf(given), hub: hubOf(signal, io) }
    const later = await laterStages(given, load)
    const pipeline =
      later.length > 0 ? await loadCascade([{ model: given.model, load }, ...later]) : await loadPipeline(given.model, load)
    const upscaler = enlarging(given, signal)
    const ranks = ranking(given, pipeline, { signal, hub: hubOf(signal, io) })
    try {
      const target = targetFor(given.out, pipeline.output)
      const taken = takenBy(pipeline, settings, given, io)
      const own = ranks === undefined ? taken : { ...taken, num: candidatesOf(pipeline, taken, given) }
      const jobs = prompts.flatMap((prompt) => combinations(axes).map((job): Job => ({ ...own, ...job, ...prompt })))
      const runs = planned(pipeline, jobs, io)
      const { grid: sideBySide, num: best = 1 } = given as { readonly grid: boolean; readonly num?: number }
      const keep = ranks && !(sideBySide && axes.length === 0) ? best : Infinity
      const all = runs.reduce((sum, { num }) => sum + Math.min(num, keep), 0)
      const grid = (sideBySide || axes.length > 0) && all > 1
      for (let k = 0; k < (grid ? 1 : all); k++) writableTarget(numbered(target, k))
      const made: Made[] = []
      for (const { options, plan, seed, num } of runs) {
        const result = await finished(pipeline, { ...options, signal }, { io, preview: given.json ? undefined : given.preview })
        const one = { result, entries: describe(given, options, plan, { seed, num, grid: grid ? all : undefined }) }
        made.push(ranks ? await ranks.best(one, String(options.prompt), { keep, grid }) : one)
      }
      const columns = axes[0]?.values.length
      const writing = { target, quality: given.quality, enlarge: upscaler?.enlarge, draw: given.draw && !given.json, io }
      const written = await write(made, { ...writing, ...(grid && { grid: { columns } }) })
      const seconds = (performance.now() - began) / 1000
      printResult(io, given.json, { pictures: written, seconds }, () => written.map((one) => one.file ?? one.text).join('\n'))
    } finally {
      await upscaler?.release()
      await ranks?.release()
      await pipeline.release()
    }
  },
})

/** Whether a control image is all that is asked for: there is nothing to draw. */
const wantsMapsAlone = ({ prompt, promptText, prompts, promptEmbeds }: Options): boolean =>
  [prompt, promptText, prompts, promptEmbeds].every((one) => one === undefined)

async function mapsAlone(given: Options, io: Io): Promise<void> {
  checkPreprocess(given)
  const maps = await controlImages(given)
  const files = maps.map((_, i) => numbered(given.controlOut as string, i))
  printResult(io, given.json, { controls: files }, () => files.join('\n'))
}

/** Every run held against the model before any begins; what is worth saying is said once. */
function planned(pipeline: Pipeline, jobs: readonly Job[], io: Io) {
  const told = new Set<string>()
  return jobs.map((options) => {
    checkOptions(pipeline, options)
    const { seed, num: each = 1 } = pipeline.schema.parse(options) as { readonly seed?: number; readonly num?: number }
    const plan = pipeline.plan(options)
    const num = plan.pictures ?? each
    for (const warning of plan.warnings ?? []) {
      if (!told.has(warning)) io.err.write(`langevin: ${warning}\n`)
      told.add(warning)
    }
    return { options, plan, seed, num }
  })
}
