import {
  type Denoise,
  ddim,
  ddpm,
  dpm2,
  dpmppSde,
  dpmSolver,
  exponentialAdams,
  exponentialSigmas,
  type GaussianMixture,
  heun,
  ipndm,
  lms,
  multistep,
  type NdArray,
  type Path,
  predictorCorrector,
  type Sampling,
  sigmaFromRatio,
  unipc,
  ve,
  vp,
} from '../../diffusion/index.ts'
import type { ChartSeries, LineChart } from '../../images/index.ts'
import { Generator } from '../../runtime/random.ts'

export interface PlaneSampler {
  readonly name: string
  readonly path: Path
  /** Evaluations of the denoiser a step. */
  readonly cost?: number
  sample(denoise: Denoise, x: NdArray, sigmas: readonly number[], generator: Generator): Sampling
}

const many = (name: string, solver: Parameters<typeof multistep>[3]): PlaneSampler => ({
  name,
  path: vp,
  sample: (denoise, x, sigmas) => multistep(denoise, x, sigmas, solver),
})

/** Along the probability-flow ODE. */
const deterministic: readonly PlaneSampler[] = [
  { name: 'Euler = DDIM', path: vp, sample: (d, x, s) => ddim(d, x, s) },
  { name: 'Heun', path: ve, cost: 2, sample: (d, x, s) => heun(d, x, s) },
  { name: 'DPM2', path: ve, cost: 2, sample: (d, x, s) => dpm2(d, x, s) },
  { name: 'LMS', path: ve, sample: (d, x, s) => lms(d, x, s) },
  { name: 'IPNDM', path: vp, sample: (d, x, s) => ipndm(d, x, s) },
  many('DPM-Solver++(2M)', dpmSolver({ order: 2 })),
  many('DPM-Solver++(3M)', dpmSolver({ order: 3 })),
  many('DEIS (3)', exponentialAdams({ order: 3, form: 'noise' })),
  many('UniPC (3)', unipc({ order: 3 })),
]

/** Along the reverse SDE. */
const stochastic: readonly PlaneSampler[] = [
  // DDIM with η = 1 and Euler's ancestral steps are the same step.
  { name: 'DDPM, ancestral', path: vp, sample: (d, x, s, generator) => ddpm(d, x, s, { generator }) },
  { name: 'DPM-Solver++ SDE', path: ve, cost: 2, sample: (d, x, s, generator) => dpmppSde(d, x, s, { generator }) },
  {
    name: 'reverse diffusion',
    path: ve,
    sample: (d, x, s, generator) => predictorCorrector(d, x, s, { generator, corrections: 0 }),
  },
  {
    name: 'predictor–corrector',
    path: ve,
    cost: 2,
    sample: (d, x, s, generator) => predictorCorrector(d, x, s, { generator }),
  },
]

/** All of them, by their names. */
export const planeSamplers: readonly PlaneSampler[] = [...deterministic, ...stochastic]

const range = { min: 0.02, max: 40 }
const evaluations = [4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]

/** The levels of a run of so many steps, even in ln σ. */
export const levels = (path: Path, steps: number): number[] =>
  exponentialSigmas({ ...range, steps: steps + 1 }).map((ratio) => sigmaFromRatio(path, ratio))

async function finish(sampling: Sampling): Promise<NdArray> {
  let next = await sampling.next()
  while (!next.done) next = await sampling.next()
  return next.value
}

/** The same noise on a path: N(0, α² + σ²), as the data are small beside it. */
export function startOn(path: Path, noise: NdArray): NdArray {
  const sigma = levels(path, 1)[0] as number
  return noise.mul(Math.hypot(sigma, path.alpha(sigma)))
}

/** Error against evaluations for solvers of the ODE: distance from the exact solution, relative to its size. */
export async function solverChart(set: GaussianMixture, seed: number): Promise<LineChart> {
  const noise = new Generator(seed).randn([64, 2])
  const exact = new Map<Path, NdArray>()
  for (const path of [ve, vp]) {
    const fine = multistep(set.denoiser(path), startOn(path, noise), levels(path, 1000), unipc({ order: 3 }), { path })
    exact.set(path, await finish(fine))
  }
  const series = await curves(deterministic, evaluations, async ({ path, sample }, steps) => {
    const truth = exact.get(path) as NdArray
    const found = await finish(sample(set.denoiser(path), startOn(path, noise), levels(path, steps), new Generator(seed)))
    return found.sub(truth).norm().item() / truth.norm().item()
  })
  return {
    title: 'Solvers of the probability-flow ODE',
    subtitle: 'Exact score of a mixture of Gaussians; levels even in ln σ',
    x: { name: 'evaluations of the denoiser', scale: 'log' },
    y: { name: 'relative error', scale: 'log' },
    series,
    width: 800,
    height: 520,
  }
}

/** Distance from the distribution against evaluations, for samplers that draw noise, with a solver of the ODE beside them. */
export async function stochasticChart(set: GaussianMixture, seed: number, { count = 500, repeats = 6 } = {}): Promise<LineChart> {
  const rounds = Array.from({ length: repeats }, (_, r) => {
    const root = new Generator(seed).fork(`round ${r}`)
    const distance = energyDistanceTo(set.sample(count, root.fork('data')))
    return { root, distance, noise: root.fork('noise').randn([count, 2]) }
  })
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const solver = deterministic.find(({ name }) => name === 'DPM-Solver++(2M)') as PlaneSampler
  const few = evaluations.filter((spent) => spent <= 32)
  const series = await curves([...stochastic, solver], few, async ({ path, sample }, steps) => {
    const found = rounds.map(async ({ root, distance, noise }) => {
      const generator = root.fork(`steps ${steps}`)
      return distance(await finish(sample(set.denoiser(path), startOn(path, noise), levels(path, steps), generator)))
    })
    return mean(await Promise.all(found))
  })
  const floor = mean(rounds.map(({ root, distance }) => distance(set.sample(count, root.fork('other data')))))
  const ends = [few[0], few.at(-1)] as [number, number]
  return {
    title: 'Samplers with noise',
    subtitle: `Energy distance of ${count} points from ${count} of the mixture, mean of ${repeats} draws`,
    x: { name: 'evaluations of the denoiser', scale: 'log' },
    y: { name: 'energy distance', scale: 'log' },
    series: [...series, { name: 'the mixture itself', dashed: true, points: ends.map((n) => [n, floor] as const) }],
    width: 800,
    height: 520,
  }
}

async function curves(
  entries: readonly PlaneSampler[],
  costs: readonly number[],
  error: (entry: PlaneSampler, steps: number) => Promise<number>,
): Promise<ChartSeries[]> {
  const series: ChartSeries[] = []
  for (const [i, entry] of entries.entries()) {
    const points: [number, number][] = []
    for (const spent of costs) {
      const steps = spent / (entry.cost ?? 1)
      if (steps >= 3) points.push([spent, await error(entry, steps)])
    }
    series.push({ name: entry.name, points, dashed: i >= 7 })
  }
  return series
}

/** E‖X − Y‖ over all pairs of rows of [N, 2] and [M, 2]. */
function meanDistance(x: NdArray, y: NdArray): number {
  const [a, b] = [x.cast('f32').data, y.cast('f32').data] as [Float32Array, Float32Array]
  let sum = 0
  for (let i = 0; i < a.length; i += 2)
    for (let j = 0; j < b.length; j += 2) {
      const [u, v] = [(a[i] as number) - (b[j] as number), (a[i + 1] as number) - (b[j + 1] as number)]
      sum += Math.sqrt(u * u + v * v)
    }
  return sum / ((a.length * b.length) / 4)
}

/** 2E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖ against fixed points: 0 for equal distributions only (Székely and Rizzo 2013). */
export function energyDistanceTo(y: NdArray): (x: NdArray) => number {
  const own = meanDistance(y, y)
  return (x) => Math.max(2 * meanDistance(x, y) - meanDistance(x, x) - own, 1e-6)
}
