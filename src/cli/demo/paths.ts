import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { concat, input, type Tensor } from '../../core/index.ts'
import {
  alphasCumprod,
  betaSchedule,
  type Denoise,
  ddim,
  finish,
  flow,
  type GaussianMixture,
  type Path,
  timeAt,
  vp,
} from '../../diffusion/index.ts'
import type { LineChart } from '../../images/index.ts'
import { linear } from '../../nn/layers.ts'
import { Params } from '../../nn/params.ts'
import { sinusoidal } from '../../nn/time.ts'
import { compile, Generator, NdArray } from '../../runtime/index.ts'
import { type TrainingTask, train } from '../../training/index.ts'

/** What a network of one size learns: the noise of a variance-preserving path, or the velocity of straight lines. */
interface Objective {
  readonly name: string
  readonly path: Path
  /** σ at which the k-th of n training pictures is noised; u is even in [0, 1). */
  readonly level: (u: number) => number
  /** The levels of a run of n steps, falling to 0. */
  readonly levels: (steps: number) => number[]
}

const TRAINED = 1000
const kept = alphasCumprod(betaSchedule('linear', { steps: TRAINED }))
const noiseAt = (t: number) => Math.sqrt(1 - (kept[t] as number))
const straight = (steps: number) => Array.from({ length: steps + 1 }, (_, i) => 1 - i / steps)

const objectives: readonly Objective[] = [
  {
    name: 'DDPM’s path and noise, DDIM',
    path: vp,
    level: (u) => noiseAt(Math.floor(u * TRAINED)),
    levels: (steps) => [...Array.from({ length: steps }, (_, i) => noiseAt(Math.round((TRAINED * (steps - i)) / steps) - 1)), 0],
  },
  { name: 'rectified flow, uniform times, Euler', path: flow, level: (u) => timeAt({ kind: 'uniform' }, u), levels: straight },
  {
    name: 'rectified flow, logit-normal times, Euler',
    path: flow,
    level: (u) => timeAt({ kind: 'logit-normal' }, u),
    levels: straight,
  },
]

const WIDTH = 128
const BATCH = 256
const POINTS = 2000
const EDGE = 1e-4
export const pathSteps = [1, 2, 4, 8, 16, 32, 64] as const

/** x [B, 2] and the level σ [B] → noise or velocity [B, 2]: three hidden layers. */
function network(p: Params): (x: Tensor, sigma: Tensor) => Tensor {
  const sizes = [2 + 32, WIDTH, WIDTH, WIDTH]
  const hidden = sizes.slice(1).map((width, i) => linear(p.at('layers', i), sizes[i] as number, width))
  const out = linear(p.at('out'), WIDTH, 2)
  return (x, sigma) => {
    const features = concat([x, sinusoidal(sigma.mul(1000), 32)], 1)
    return out(hidden.reduce((h, layer) => layer(h).silu(), features))
  }
}

/** Data and noise mixed at a level each: what the network sees, and what it should give. */
function pair({ path }: Objective, data: NdArray, noise: NdArray, sigmas: readonly number[]) {
  const sigma = NdArray.from(sigmas)
  const [s, a] = [sigma, sigma.map(path.alpha)].map((one) => one.reshape([sigmas.length, 1])) as [NdArray, NdArray]
  return { x: data.mul(a).add(noise.mul(s)), sigma, target: path === flow ? noise.sub(data) : noise }
}

function taskOf(objective: Objective, set: GaussianMixture): TrainingTask {
  const params = new Params()
  const found = network(params)(input('x', [BATCH, 2]), input('sigma', [BATCH]))
  const loss = found
    .sub(input('target', [BATCH, 2]))
    .square()
    .mean()
  return {
    ...{ params, loss, metrics: {} },
    batch(generator) {
      const start = generator.rand([1]).item()
      const even = Array.from({ length: BATCH }, (_, i) => Math.min(Math.max((start + i / BATCH) % 1, EDGE), 1 - EDGE))
      const noise = generator.randn([BATCH, 2])
      return pair(objective, set.sample(BATCH, generator), noise, even.map(objective.level))
    },
  }
}

export interface PathPoint {
  readonly name: string
  readonly steps: number
  /** The mean over the networks of every seed. */
  readonly distance: number
}

export interface PathOptions {
  /** Training steps of every network. */
  readonly steps: number
  /** Networks of every objective. */
  readonly repeats?: number
  readonly seed: number
  readonly distanceTo: (data: NdArray) => (x: NdArray) => number
  readonly signal?: AbortSignal | undefined
  readonly onStep?: (step: { readonly stage: string; readonly done: number; readonly total: number }) => void
}

/**
 * Networks of one size learn the same points for equally many steps: the noise of DDPM's path (Ho et al. 2020), or the velocity of straight lines
 * with even times (Liu et al. 2023) and with logit-normal ones (Esser et al. 2024, section 3.1). What each draws in few steps is held against the set.
 */
export async function measurePaths(set: GaussianMixture, options: PathOptions): Promise<PathPoint[]> {
  const { steps, repeats = 3, seed, distanceTo, signal, onStep } = options
  const sums = new Map<string, number>()
  for (const objective of objectives)
    for (let repeat = 0; repeat < repeats; repeat++) {
      const root = new Generator(seed).fork(`network ${repeat}`)
      const distance = distanceTo(set.sample(POINTS, root.fork('data')))
      const tell = (done: number) => onStep?.({ stage: `${objective.name}, ${repeat + 1} of ${repeats}`, done, total: steps })
      const denoiser = await learnt(objective, set, { steps, seed: seed + repeat, signal, tell })
      try {
        for (const count of pathSteps) {
          const noise = root.fork('noise').randn([POINTS, 2])
          const drawn = await finish(ddim(denoiser.denoise, noise, objective.levels(count), { path: objective.path }))
          const key = `${objective.name}|${count}`
          sums.set(key, (sums.get(key) ?? 0) + distance(drawn) / repeats)
        }
      } finally {
        await denoiser.release()
      }
    }
  return objectives.flatMap(({ name }) =>
    pathSteps.map((count) => ({ name, steps: count, distance: sums.get(`${name}|${count}`) as number })),
  )
}

async function learnt(
  objective: Objective,
  set: GaussianMixture,
  { steps, seed, signal, tell }: { steps: number; seed: number; signal: AbortSignal | undefined; tell: (done: number) => void },
): Promise<{ readonly denoise: Denoise; release(): Promise<void> }> {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-paths-'))
  try {
    const run = train(taskOf(objective, set), {
      ...{ dir, steps, seed, threads: 1, learningRate: 2e-3, rateSchedule: 'cosine' as const, warmup: 50, ema: 0.99 },
      ...{ checkpointEvery: steps, ...(signal && { signal }) },
    })
    let next = await run.next()
    for (; !next.done; next = await run.next()) tell(next.value.step)
    signal?.throwIfAborted()
    const outputs = { found: network(new Params())(input('x', [POINTS, 2]), input('sigma', [POINTS])) }
    const program = await compile({ outputs, weights: next.value }, { threads: 1 })
    return {
      async denoise(x, sigma) {
        const { found } = await program.run({ x, sigma: NdArray.full([POINTS], sigma) })
        const given = found as NdArray
        return objective.path === flow ? x.sub(given.mul(sigma)) : x.sub(given.mul(sigma)).mul(1 / vp.alpha(sigma))
      },
      release: () => program.release(),
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

export function pathChart(points: readonly PathPoint[], trained: number): LineChart {
  return {
    title: 'Straight paths need fewer steps',
    subtitle: `Networks of one size after ${trained} steps on the same points; energy distance of ${POINTS} drawn points`,
    x: { name: 'evaluations of the network', scale: 'log' },
    y: { name: 'energy distance', scale: 'log' },
    series: [...Map.groupBy(points, ({ name }) => name)].map(([name, own]) => ({
      name,
      markers: true,
      points: own.map(({ steps, distance }) => [steps, distance] as const),
    })),
    width: 800,
    height: 520,
  }
}
