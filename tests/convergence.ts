import { writeFileSync } from 'node:fs'
import { type Denoise, finish, type Sampling } from '../src/diffusion/denoiser.ts'
import { GaussianMixture } from '../src/diffusion/oracle.ts'
import { flow, type Path, sigmaFromRatio, ve, vp } from '../src/diffusion/paths.ts'
import { ipndm, lms, pndm } from '../src/diffusion/samplers/adams.ts'
import { ddim } from '../src/diffusion/samplers/ddim.ts'
import { type DpmSolver, dpmSinglestep, dpmSolver, exponentialAdams } from '../src/diffusion/samplers/dpm-solver.ts'
import { dpm2, euler, heun } from '../src/diffusion/samplers/euler.ts'
import { type MultistepSolver, multistep } from '../src/diffusion/samplers/exponential.ts'
import { saSolver, unipc } from '../src/diffusion/samplers/unipc.ts'
import { exponentialSigmas } from '../src/diffusion/sigmas.ts'
import type { NdArray } from '../src/runtime/ndarray.ts'
import { Generator } from '../src/runtime/random.ts'

const mixture = new GaussianMixture([
  { weight: 0.3, mean: [-1, 0.5], std: 0.5 },
  { weight: 0.5, mean: [0.8, -0.3], std: 0.7 },
  { weight: 0.2, mean: [0.2, 1], std: 0.4 },
])
const range = { min: 0.3, max: 30 }

interface Solver {
  readonly name: string
  /** The order that its weights give, which is not always the one it is named for. */
  readonly order: number
  readonly path: Path
  readonly sample: (denoise: Denoise, x: NdArray, sigmas: readonly number[]) => Sampling
  /** The numbers of steps between which the slope is taken. */
  readonly steps?: readonly [number, number]
}

const many = (name: string, order: number, solver: MultistepSolver, steps?: [number, number]): Solver => ({
  name,
  order,
  path: vp,
  steps,
  sample: (denoise, x, sigmas) => multistep(denoise, x, sigmas, solver),
})
const single = (order: 2 | 3, variant: DpmSolver['variant']): Solver => ({
  name: `DPM-Solver++(${order}S) ${variant}`,
  order,
  path: vp,
  sample: (denoise, x, sigmas) =>
    dpmSinglestep(denoise, x, sigmas, { order, variant, orders: sigmas.slice(1).map((_, i) => (i % order) + 1) }),
})

/** Deterministic solvers with the order that their weights give at evenly spaced ln(α/σ). */
export const solvers: readonly Solver[] = [
  { name: 'Euler', order: 1, path: ve, sample: euler },
  { name: 'Euler, flow', order: 1, path: flow, sample: euler },
  { name: 'DDIM', order: 1, path: vp, sample: ddim },
  { name: 'Heun', order: 2, path: ve, sample: heun },
  { name: 'Heun, flow', order: 2, path: flow, sample: heun },
  { name: 'DPM2', order: 2, path: ve, sample: dpm2 },
  { name: 'LMS (2)', order: 2, path: ve, sample: (d, x, s) => lms(d, x, s, { order: 2 }), steps: [54, 81] },
  { name: 'PNDM', order: 2, path: vp, sample: pndm },
  { name: 'PLMS', order: 2, path: vp, sample: (d, x, s) => pndm(d, x, s, { start: 'euler' }) },
  { name: 'IPNDM', order: 2, path: vp, sample: ipndm },
  many('DPM-Solver++(1)', 1, dpmSolver({ order: 1 })),
  many('DPM-Solver++(2M) midpoint', 2, dpmSolver({ order: 2 })),
  many('DPM-Solver++(2M) heun', 2, dpmSolver({ order: 2, variant: 'heun' })),
  many('DPM-Solver++(3M)', 2, dpmSolver({ order: 3 }), [96, 144]),
  many('DPM-Solver(2M) midpoint', 2, dpmSolver({ order: 2, form: 'noise' })),
  many('DPM-Solver(3M)', 2, dpmSolver({ order: 3, form: 'noise' })),
  single(2, 'midpoint'),
  single(2, 'heun'),
  single(3, 'midpoint'),
  single(3, 'heun'),
  many('exponential Adams, 3 data', 3, exponentialAdams({ order: 3 }), [72, 108]),
  many('DEIS (2)', 2, exponentialAdams({ order: 2, form: 'noise' })),
  many('DEIS (3)', 3, exponentialAdams({ order: 3, form: 'noise' })),
  many('DEIS (4)', 4, exponentialAdams({ order: 4, form: 'noise' }), [16, 32]),
  many('UniPC (1), bh2', 2, unipc({ order: 1, lowerFinal: false })),
  many('UniPC (2), bh1', 3, unipc({ order: 2, variant: 'bh1', lowerFinal: false })),
  many('UniPC (2), bh2', 3, unipc({ order: 2, lowerFinal: false })),
  many('UniPC (3), bh2', 4, unipc({ order: 3, lowerFinal: false }), [36, 48]),
  many('SA-Solver (2, 2), τ = 0', 2, { ...saSolver({ tau: () => 0, lowerFinal: false }), draws: () => 0 }, [96, 144]),
]

/** The slope of ln error against −ln steps, and the error at the larger number of steps. */
export async function measure({ path, sample, steps = [24, 48] }: Solver) {
  const denoise = mixture.denoiser(path)
  const levels = (n: number) => exponentialSigmas({ ...range, steps: n + 1 }).map((ratio) => sigmaFromRatio(path, ratio))
  const { sigma, alpha } = { sigma: levels(1)[0] as number, alpha: path.alpha(levels(1)[0] as number) }
  const x = new Generator(0).randn([32, 2]).mul(Math.sqrt(sigma ** 2 + alpha ** 2))
  const exact = await finish(multistep(denoise, x, levels(400), unipc({ order: 3, lowerFinal: false }), { path }))
  const [few, many] = await Promise.all(
    steps.map(async (n) => (await finish(sample(denoise, x, levels(n)))).sub(exact).norm().item()),
  )
  const slope = Math.log((few as number) / (many as number)) / Math.log(steps[1] / steps[0])
  return { slope, error: (many as number) / exact.norm().item(), steps }
}

/** A Markdown table of every solver's measured order. */
export async function convergenceTable(): Promise<string> {
  const rows = ['| solver | order | measured | steps | relative error |', '| --- | --- | --- | --- | --- |']
  for (const solver of solvers) {
    const { slope, error, steps } = await measure(solver)
    rows.push(`| ${solver.name} | ${solver.order} | ${slope.toFixed(2)} | ${steps.join(' → ')} | ${error.toExponential(1)} |`)
  }
  return rows.join('\n')
}

if (import.meta.main)
  writeFileSync(
    new URL('../docs/convergence.md', import.meta.url),
    `# Order of convergence

Every deterministic solver on a mixture of three Gaussians in two dimensions, whose denoiser is known in closed form, from
σ/α = ${range.max} to ${range.min} with levels even in ln(α/σ). The slope of the error against the number of steps is fitted between the two
numbers of steps named; the error is that of the larger. Written by \`node tests/convergence.ts\`; the tests hold every slope
within 0.15 of its order.

${await convergenceTable()}

DPM-Solver(3M) and DPM-Solver++(3M) are named for a third order that their published multistep weights do not have: they halve
the second-difference term. \`exponentialAdams({ order: 3 })\` has the exact weights. PNDM, PLMS and IPNDM use fixed
Adams–Bashforth weights, which are exact only where the noise is even in the variable that the step is linear in; over levels
even in λ they are of second order, as their paper says.
`,
  )
