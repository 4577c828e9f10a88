/** Draws the pictures of theory.md: `node docs/pictures/theory.ts`. Trains the swiss roll, which takes a minute or two. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { descentFilm, processFilm } from '../../src/cli/demo/films.ts'
import { solverChart, stochasticChart } from '../../src/cli/demo/samplers.ts'
import { planeSet } from '../../src/cli/demo/sets.ts'
import { drawChart, drawParticles, type ParticlePanel, savePng } from '../../src/images/index.ts'
import { openRecipe, prepare } from '../../src/recipes/index.ts'
import {
  sampleSwissRoll,
  swissRollBound,
  swissRollNull,
  swissRollPoints,
  swissRollSchema,
} from '../../src/recipes/tasks/swiss-roll.ts'
import type { NdArray } from '../../src/runtime/ndarray.ts'
import { Generator } from '../../src/runtime/random.ts'
import { trainingOptions } from '../../src/training/options.ts'
import { train } from '../../src/training/train.ts'

const save = (name: string, picture: NdArray<'u8'>) => savePng(join(import.meta.dirname, name), picture, { compressionLevel: 9 })
const strip = ({ rows }: { rows: readonly (readonly ParticlePanel[])[] }) =>
  drawParticles(rows.flat(), { columns: Math.max(...rows.map((row) => row.length)), side: 150 })

const set = await planeSet('swiss-roll', '')
const options = { particles: 500, seed: 0 }
await save('process.png', await strip((await processFilm(set, options)).strip))
await save('descent.png', await strip((await descentFilm(set, options)).strip))
await save('solvers.png', await drawChart(await solverChart(set, 0)))
await save('samplers.png', await drawChart(await stochasticChart(set, 0)))

/** The roll as its own recipe learns it: q on the left, p on the right, and where each step moves the mean. */
const desk = mkdtempSync(join(tmpdir(), 'langevin-roll-'))
const config = swissRollSchema.parse({})
const { job, config: flags } = await prepare(openRecipe('swiss-roll'))
const steps = train(job.task, trainingOptions(flags, desk))
let next = await steps.next()
while (!next.done) next = await steps.next()
rmSync(desk, { recursive: true })

const generator = new Generator(1)
const bound = await swissRollBound(config, next.value, swissRollPoints(config, 4000, generator), generator)
console.log(`K ${bound.toFixed(3)} bits, K − L_null ${(bound - swissRollNull).toFixed(3)} bits`)
const data = swissRollPoints(config, 600, generator)
const { path, means, betas } = await sampleSwissRoll(config, next.value, 600, generator)
const moments = [0, 10, 20, 28, 40]
const kept = (t: number) => betas.slice(0, t).reduce((product, beta) => product * (1 - beta), 1)
const blue = [37, 99, 235] as const
const red = [226, 87, 43] as const
const grey = [100, 116, 139] as const
const panels = (draw: (t: number) => ParticlePanel['layers'], order: readonly number[], title: string): ParticlePanel[] =>
  order.map((t, i) => ({ ...(i === 0 ? { title } : {}), note: `t = ${t}`, layers: draw(t) }))
const noised = (t: number) => data.mul(Math.sqrt(kept(t))).add(generator.randn(data.shape).mul(Math.sqrt(1 - kept(t))))
const at = (t: number) => path[40 - t] as NdArray
const back = moments.toReversed()
await save(
  'swiss-roll.png',
  await drawParticles(
    [
      ...panels((t) => [{ points: noised(t), colour: blue, radius: 1.3 }], moments, 'Forward: q(x_t)'),
      ...panels((t) => [{ points: at(t), colour: red, radius: 1.3 }], back, 'Reverse, learned: p(x_t)'),
      ...panels(
        (t) => [{ points: at(t), tips: means[40 - t] as NdArray, colour: grey, opacity: 0.5 }],
        [28, 24, 20, 16, 12],
        'Drift: from x_t to the mean of x_t−1',
      ),
    ],
    { columns: moments.length, side: 150 },
  ),
)
