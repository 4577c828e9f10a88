import { GaussianMixture } from '../../diffusion/index.ts'

export const curveNames = ['swiss-roll', 'moons', 'rings'] as const
export type CurveName = (typeof curveNames)[number]

export type Point = readonly [number, number]

const along = (count: number, at: (u: number) => Point): Point[] => Array.from({ length: count }, (_, i) => at((i + 0.5) / count))

/** Curves whose points lie at even lengths, so that no part of the set is denser. */
const curves: Readonly<Record<CurveName, (count: number) => Point[]>> = {
  'swiss-roll': (count) =>
    along(count, (u) => {
      const phi = Math.PI * Math.sqrt(2.25 + u * (20.25 - 2.25))
      return [0.145 * phi * Math.cos(phi), 0.145 * phi * Math.sin(phi)]
    }),
  moons: (count) => [
    ...along(count / 2, (u) => [1.2 * Math.cos(Math.PI * u) - 0.6, 1.2 * Math.sin(Math.PI * u) - 0.3] as Point),
    ...along(count / 2, (u) => [0.6 - 1.2 * Math.cos(Math.PI * u), 0.3 - 1.2 * Math.sin(Math.PI * u)] as Point),
  ],
  rings: (count) => [
    ...along(Math.round(count * 0.7), (u) => [1.8 * Math.cos(2 * Math.PI * u), 1.8 * Math.sin(2 * Math.PI * u)] as Point),
    ...along(Math.round(count * 0.3), (u) => [0.8 * Math.cos(2 * Math.PI * u), 0.8 * Math.sin(2 * Math.PI * u)] as Point),
  ],
}

/** A set in the plane, within [−2, 2]², as a mixture of small Gaussians along curves: everything about it is known in closed form. */
export function curveSet(name: CurveName): GaussianMixture {
  const counts = { 'swiss-roll': 44, moons: 30, rings: 60 }
  return mixtureOf(curves[name](counts[name]), 0.1)
}

export const mixtureOf = (points: readonly Point[], std: number): GaussianMixture =>
  new GaussianMixture(points.map((mean) => ({ weight: 1, mean, std })))
