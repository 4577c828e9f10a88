import { existsSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import type { GaussianMixture } from '../diffusion/index.ts'
import type { KnownEntropy } from '../recipes/known-entropy.ts'
import type { ScalingOptions } from '../recipes/scaling.ts'
import { defineCommand, onInterrupt, printResult } from './command.ts'
import type { PathOptions } from './demo/paths.ts'
import { setNames } from './demo/sets.ts'
import { UsageError } from './errors.ts'

const pictures = ['process', 'descent', 'solvers', 'samplers', 'scaling', 'paths', 'entropy'] as const

const options = z.object({
  picture: z.enum(pictures).default('process').meta({ description: 'what to draw' }),
  set: z.enum(setNames).default('swiss-roll').meta({ description: 'the points in the plane' }),
  text: z.string().min(1).max(12).default('p(x)').meta({ description: 'what the letters say' }),
  out: z
    .string()
    .regex(/\.(webp|png)$/, 'must end in .webp or .png')
    .optional()
    .meta({ description: 'the file: .webp for a film, .png for a strip or a chart; <picture>.webp or .png unless given' }),
  particles: z.int().min(10).max(20_000).default(500).meta({ description: 'how many points' }),
  seed: z.int().default(0).meta({ description: 'decides every picture' }),
  steps: z
    .int()
    .min(4)
    .optional()
    .meta({ description: 'of scaling, paths and entropy: training steps of each network; 300, 4000 and 1000 unless given' }),
  draw: z.boolean().default(true).meta({ description: 'do not show the picture in the terminal' }),
  json: z.boolean().default(false).meta({ description: 'print one line of JSON, draw nothing' }),
})

export const demo = defineCommand({
  name: 'demo',
  summary: 'what diffusion does, drawn on points in the plane',
  description: `Draws diffusion on a set whose score is known exactly, so that nothing is learned or downloaded:
  process   data to noise; back with fresh noise (the reverse SDE); back without (the probability flow)
  descent   particles that follow the gradient of the log-density collapse onto its modes; with noise they sample it
  solvers   error against evaluations for solvers of the probability-flow ODE
  samplers  distance from the distribution against evaluations for samplers that draw noise
Three pictures are of networks that learn, for some minutes:
  paths     what DDPM's path and straight ones draw in few steps, the points learnt by networks of one size
  scaling   error of small diffusion transformers on the latents of bundled stickers, by patches and depth
  entropy   what language models by diffusion and a causal one say that texts of a known entropy cost`,
  positional: ['picture'],
  options,
  examples: [
    ['langevin demo', 'a film, process.webp'],
    ['langevin demo process --out process.png', 'the same as a strip'],
    ['langevin demo descent --set moons', 'why samplers add noise'],
    ['langevin demo process --set letters --text ΔS', 'letters of your own'],
    ['langevin demo solvers', 'a chart, solvers.png'],
    ['langevin demo paths --set moons', 'rectified flow beside DDIM, a chart, paths.png'],
    ['langevin demo entropy', 'bounds of four language models against the truth, a chart, entropy.png'],
    ['langevin demo scaling --steps 100', 'nine small transformers, trained one after another'],
  ],
  async run({ picture, set: name, text, out, particles, seed, steps, draw, json }, io) {
    const chart = picture !== 'process' && picture !== 'descent'
    const file = resolve(out ?? `${picture}.${chart ? 'png' : 'webp'}`)
    if (!existsSync(dirname(file))) throw new UsageError(`--out: no such folder: ${dirname(file)}`)
    if (chart && file.endsWith('.webp')) throw new UsageError('--out: a chart does not move; give a .png')
    const signal = onInterrupt()
    const [{ drawChart, drawInTerminal, drawParticles, encodeAnimation, savePng }, { planeSet }] = await Promise.all([
      import('../images/index.ts'),
      import('./demo/sets.ts'),
    ])
    const set = await planeSet(name, text)
    const show = (pixels: Parameters<typeof drawInTerminal>[0]) =>
      draw && !json ? drawInTerminal(pixels, { stream: io.out }) : undefined

    if (picture === 'entropy') {
      const [{ stageBars }, { measureKnownEntropy, entropyChart }] = await Promise.all([
        import('./stages.ts'),
        import('../recipes/known-entropy.ts'),
      ])
      const bars = stageBars(io.err)
      const trained = steps ?? 1000
      const found = await measureKnownEntropy({ steps: trained, seed, signal, onStep: bars.update }).finally(() => bars.stop())
      const pixels = await drawChart(entropyChart(found))
      await savePng(file, pixels)
      await show(pixels)
      const bounds = found.bounds.map(({ learning: _, ...one }) => one)
      return printResult(io, json, { file, picture, steps: trained, seed, ...found, bounds }, () => entropyLines(found, file))
    }
    if (picture === 'scaling' || picture === 'paths') {
      const { stageBars } = await import('./stages.ts')
      const bars = stageBars(io.err)
      const trained = steps ?? (picture === 'scaling' ? 300 : 4000)
      const told = { steps: trained, signal, onStep: bars.update }
      const { points, made } = await (picture === 'scaling' ? scaling(told) : paths(set, { ...told, seed })).finally(() =>
        bars.stop(),
      )
      const pixels = await drawChart(made)
      await savePng(file, pixels)
      await show(pixels)
      return printResult(io, json, { file, picture, steps: trained, points }, () => file)
    }
    if (chart) {
      const { solverChart, stochasticChart } = await import('./demo/samplers.ts')
      const pixels = await drawChart(await (picture === 'solvers' ? solverChart(set, seed) : stochasticChart(set, seed)))
      await savePng(file, pixels)
      await show(pixels)
    } else {
      const { descentFilm, processFilm } = await import('./demo/films.ts')
      const { frames, strip } = await (picture === 'process' ? processFilm : descentFilm)(set, { particles, seed, signal })
      const columns = Math.max(...strip.rows.map((row) => row.length))
      const still = await drawParticles(strip.rows.flat(), { columns, side: 170 })
      if (file.endsWith('.png')) await savePng(file, still)
      else {
        const film = []
        for (const panels of frames) film.push(await drawParticles(panels, { side: 220 }))
        const delay = frames.map((_, i) => (i === frames.length - 1 ? 2000 : i === 0 ? 600 : 60))
        writeFileSync(file, await encodeAnimation(film, { delay, quality: 60 }))
      }
      await show(still)
    }
    printResult(io, json, { file, picture, set: name, seed }, () => file)
  },
})

async function scaling(options: ScalingOptions) {
  const { measureScaling, scalingChart } = await import('../recipes/scaling.ts')
  const points = await measureScaling(options)
  return { points, made: scalingChart(points, options.steps) }
}

async function paths(set: GaussianMixture, options: Omit<PathOptions, 'distanceTo'>) {
  const [{ measurePaths, pathChart }, { energyDistanceTo }] = await Promise.all([
    import('./demo/paths.ts'),
    import('./demo/samplers.ts'),
  ])
  const points = await measurePaths(set, { ...options, distanceTo: energyDistanceTo })
  return { points, made: pathChart(points, options.steps) }
}

/** What was found, a line each. */
function entropyLines({ entropy, bounds, orders }: KnownEntropy, file: string): string {
  const share = (value: number) => `${Math.round(100 * value)} %`
  return [
    `${'entropy'.padEnd(10)} ${entropy.toFixed(2)} bits a text`,
    ...bounds.map(
      ({ name, bits, above, interval }) =>
        `${name.padEnd(10)} ${bits.toFixed(2)}, above the truth of the same texts by ${above.toFixed(2)} ± ${interval.toFixed(2)}`,
    ),
    ...orders.map(
      ({ order, steps, valid, different }) =>
        `${order.padEnd(10)} ${share(valid)} of the texts are the grammar's, ${share(different)} differ, in ${steps} steps`,
    ),
    file,
  ].join('\n')
}
