import { type CurveName, curveSet } from '../../../src/cli/demo/curves.ts'
import { energyDistanceTo, levels, type PlaneSampler, planeSamplers, startOn } from '../../../src/cli/demo/samplers.ts'
import { type Level, levelOf, type NdArray, vp } from '../../../src/diffusion/index.ts'
import { Generator } from '../../../src/runtime/random.ts'

/** Points of the plane, x and y by turns. */
export type Cloud = Float32Array

const cloudOf = ({ data }: NdArray): Cloud => Float32Array.from(data as ArrayLike<number>)

/** The data at every level of noise, 0 to nearly 1, each point with its own noise: one picture of each moment. */
export interface Forward {
  readonly sigmas: readonly number[]
  readonly clouds: readonly Cloud[]
  /** What the exact denoiser takes each noisy point for. */
  readonly denoised: readonly Cloud[]
}

const MOMENTS = 60

/** Noise is added to points of a set: x = αx₀ + σε on the variance-preserving path. */
export function forwardOf(name: CurveName, points: number, seed: number): Forward {
  const set = curveSet(name)
  const root = new Generator(seed)
  const data = set.sample(points, root.fork('data'))
  const noise = root.fork('noise').randn([points, 2])
  const sigmas = Array.from({ length: MOMENTS + 1 }, (_, i) => 0.999 * Math.sin((Math.PI / 2) * (i / MOMENTS)) ** 1.5)
  const states = sigmas.map((sigma) => {
    const level: Level = levelOf(vp, sigma)
    return data.mul(level.alpha).add(noise.mul(sigma))
  })
  return {
    sigmas,
    clouds: states.map(cloudOf),
    denoised: states.map((x, i) => cloudOf(set.mean(x, levelOf(vp, sigmas[i] as number)))),
  }
}

/** What a sampler made of noise, step by step. */
export interface Reverse {
  readonly clouds: readonly Cloud[]
  readonly evaluations: number
  /** Energy distance of the last cloud to points of the set; 0 where they are of one distribution. */
  readonly distance: number
}

export const samplerNames: readonly string[] = planeSamplers.map(({ name }) => name)

export interface ReverseOptions {
  readonly sampler: string
  readonly steps: number
  readonly points: number
  readonly seed: number
}

/** A run back from noise by the exact denoiser, with a sampler of the library. */
export async function reverseOf(name: CurveName, { sampler, steps, points, seed }: ReverseOptions): Promise<Reverse> {
  const { path, cost = 1, sample } = planeSamplers.find((one) => one.name === sampler) ?? (planeSamplers[0] as PlaneSampler)
  const set = curveSet(name)
  const root = new Generator(seed)
  const noise = startOn(path, root.fork('start').randn([points, 2]))
  const sampling = sample(set.denoiser(path), noise, levels(path, steps), root.fork('steps'))
  const clouds: Cloud[] = []
  let next = await sampling.next()
  for (; !next.done; next = await sampling.next()) {
    const { x, sigma } = next.value
    // On the path whose noise grows without an end clouds are brought to the plane's size, as they are on the other.
    clouds.push(cloudOf(path === vp ? x : x.mul(1 / Math.hypot(1, sigma))))
  }
  clouds.push(cloudOf(next.value))
  const distance = energyDistanceTo(set.sample(points, root.fork('real')))(next.value)
  return { clouds, evaluations: steps * cost, distance }
}
