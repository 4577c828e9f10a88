import type { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { type Denoise, noiseSource, type Sampling } from '../denoiser.ts'
import { checkSigmas, type Level, levelOf, noiseIn, type Path, pairs, vp } from '../paths.ts'
import { ancestralStep } from './euler.ts'
import { advance, type Evaluation, type MultistepSolver, type Weigh } from './exponential.ts'

export interface DpmSolver {
  /** 1, 2 or 3 evaluations. */
  readonly order?: 1 | 2 | 3
  readonly form?: 'data' | 'noise'
  /** How two evaluations are weighed: as if the slope acted at the middle, or exactly. */
  readonly variant?: 'midpoint' | 'heun'
  /** Adds the reverse SDE's noise at every step. */
  readonly stochastic?: boolean
  /** Keeps a wrong sign that diffusers has in the third order with noise; for the same numbers only. */
  readonly likeDiffusers?: boolean
}

/** Two evaluations, weighed as DPM-Solver++(2M) does: the slope counts half the step (Lu et al. 2022b, Algorithm 2). */
const midpoint: Weigh = ([one = 0]) => [one, one / 2]

/**
 * Three evaluations, weighed as the widely used DPM-Solver++(3M) does. Its second difference stands for half the curvature and
 * is weighed as if it were the whole, so the solver converges with order 2; `exponentialAdams` has the exact weights.
 */
const published3: Weigh = ([one = 0, slope = 0, curve = 0]) => [one, slope, curve / 2]

function weights({ variant = 'midpoint', stochastic = false, likeDiffusers = false }: DpmSolver): Weigh {
  return (exact, length) => {
    if (exact.length === 2 && variant === 'midpoint') return midpoint(exact, length)
    if (exact.length !== 3) return exact
    const published = published3(exact, length)
    return stochastic && likeDiffusers ? published.with(2, (published[2] as number) - 1) : published
  }
}

/**
 * DPM-Solver++ and its ODE and SDE relatives, multistep: Lu et al. 2022b (data form), Lu et al. 2022a (noise form). The last
 * steps may be asked to use fewer evaluations with `lowerFinal`.
 */
export function dpmSolver(options: DpmSolver = {}, lowerFinal?: (i: number, steps: number) => number): MultistepSolver {
  const { order = 2, form = 'data', stochastic = false } = options
  return {
    form,
    weigh: weights(options),
    order: (i, steps) => Math.min(order, lowerFinal?.(i, steps) ?? order),
    tau: () => (stochastic ? 1 : 0),
    draws: () => (stochastic ? 1 : 0),
  }
}

/** Exact weights for any number of evaluations: exponential Adams–Bashforth in λ. The noise form is DEIS (Zhang and Chen 2023). */
export function exponentialAdams({
  order = 3,
  form = 'data',
}: {
  order?: number
  form?: 'data' | 'noise'
} = {}): MultistepSolver {
  return { form, order: () => order }
}

export interface SinglestepOptions extends DpmSolver {
  readonly path?: Path
  readonly generator?: Generator
  /** 1, 2 or 3 for every step; a 2 or a 3 starts again from where the block's 1 started. */
  readonly orders?: readonly number[]
}

/** 1, 2 or 1, 2, 3 over and over, with lower orders at the end. */
export function singlestepOrders(steps: number, order: 1 | 2 | 3, lowerFinal = true): number[] {
  const block = [1, 2, 3].slice(0, order)
  const repeat = (n: number) => new Array<number[]>(Math.max(0, n)).fill(block).flat()
  if (!lowerFinal || order === 1) return repeat(Math.floor(steps / order))
  if (order === 2) return steps % 2 === 0 ? [...repeat(steps / 2 - 1), 1, 1] : [...repeat((steps - 1) / 2), 1]
  const whole = Math.floor(steps / 3)
  return steps % 3 === 0 ? [...repeat(whole - 1), 1, 2, 1] : [...repeat(whole), ...[1, 2].slice(0, steps % 3)]
}

/** DPM-Solver++(2S) and (3S) and their relatives: Lu et al. 2022b, Algorithm 1; Lu et al. 2022a, Algorithms 1 and 2. */
export async function* dpmSinglestep(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  options: SinglestepOptions = {},
): Sampling {
  checkSigmas(sigmas, 'dpmSinglestep', 'any')
  const {
    form = 'data',
    variant = 'midpoint',
    stochastic = false,
    likeDiffusers = false,
    order = 2,
    path = vp,
    generator,
  } = options
  const levels = sigmas.map((sigma) => levelOf(path, sigma))
  const orders = options.orders ?? singlestepOrders(levels.length - 1, order)
  let block: Evaluation[] = []
  let start = x
  for (const [i, wanted] of orders.entries()) {
    const [from, to] = [levels[i] as Level, levels[i + 1] as Level]
    const denoised = await denoise(x, from.sigma)
    yield { i, sigma: from.sigma, x, denoised }
    const now = Math.min(wanted, block.length + 1)
    if (now === 1) {
      block = []
      start = x
    }
    block.push({ level: from, output: form === 'data' ? denoised : noiseIn(x, denoised, from) })
    const origin = block[0] as Evaluation
    const ends = [origin, block.at(-1) as Evaluation]
    const used = now === 1 ? [origin] : now === 3 && variant === 'heun' ? block : ends
    const weigh: Weigh = (exact, length) => {
      if (now === 2 && variant === 'midpoint') return midpoint(exact, length)
      return exact.length === 3 && stochastic && likeDiffusers ? exact.with(2, (exact[2] as number) - 2) : exact
    }
    const z = stochastic ? noiseSource(generator, 'dpmSinglestep').randn(x.shape) : undefined
    x = advance({ form, weigh, tau: stochastic ? 1 : 0 }, start, [origin.level, to], used, z)
  }
  return x
}

/**
 * DPM-Solver++ (SDE), second order, one intermediate evaluation: Lu et al. 2022b, section 5, in k-diffusion's form with
 * ancestral noise. The two noises of a step belong to one Brownian path, as they must. Path `ve`.
 */
export async function* dpmppSde(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  { generator }: { readonly generator?: Generator } = {},
): Sampling {
  checkSigmas(sigmas, 'dpmppSde')
  const noise = noiseSource(generator, 'dpmppSde')
  const carry = (from: number, to: number, state: NdArray, data: NdArray, z: NdArray) => {
    const { up, down } = ancestralStep(from, to)
    return state
      .mul(down / from)
      .add(data.mul(1 - down / from))
      .add(z.mul(up))
  }
  for (const [i, [sigma, next]] of pairs(sigmas).entries()) {
    const denoised = await denoise(x, sigma)
    yield { i, sigma, x, denoised }
    if (next === 0) x = denoised
    else {
      const middle = Math.sqrt(sigma * next)
      const [first, second] = [noise.randn(x.shape), noise.randn(x.shape)]
      const share = (sigma - middle) / (sigma - next)
      const whole = first.mul(Math.sqrt(share)).add(second.mul(Math.sqrt(1 - share)))
      const half = carry(sigma, middle, x, denoised, first)
      x = carry(sigma, next, x, await denoise(half, middle), whole)
    }
  }
  return x
}
