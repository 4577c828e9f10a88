import { ArgumentError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'

/** x_t = a·x0 + b·x1 + c·z at a time, with the rates of change of a, b and c. */
export interface Mix {
  readonly a: number
  readonly b: number
  readonly c: number
  readonly rate: { readonly a: number; readonly b: number; readonly c: number }
}

/** Between any two distributions over t from 0 to 1 (Albergo, Boffi and Vanden-Eijnden 2023, definition 1 and table 4). */
export type Interpolant = (t: number) => Mix

/** (1 − t)x0 + t·x1 with no latent noise: rectified flow (Liu et al. 2023). */
export const straight: Interpolant = (t) => ({ a: 1 - t, b: t, c: 0, rate: { a: -1, b: 1, c: 0 } })

/** (1 − t)x0 + t·x1 + √(2t(1 − t))·z, times a scale of the noise. */
export const linearInterpolant =
  (scale = 1): Interpolant =>
  (t) => {
    const c = scale * Math.sqrt(2 * t * (1 - t))
    return { a: 1 - t, b: t, c, rate: { a: -1, b: 1, c: c === 0 ? 0 : (scale * scale * (1 - 2 * t)) / c } }
  }

/** cos(πt/2)x0 + sin(πt/2)x1 + √(2t(1 − t))·z. */
export const trigonometricInterpolant =
  (scale = 1): Interpolant =>
  (t) => {
    const { c, rate } = linearInterpolant(scale)(t)
    const angle = (Math.PI * t) / 2
    const [a, b] = [Math.cos(angle), Math.sin(angle)]
    return { a, b, c, rate: { a: (-Math.PI / 2) * b, b: (Math.PI / 2) * a, c: rate.c } }
  }

/** The state at t between a pair, and what a velocity network should give there. */
export function between(mix: Mix, x0: NdArray, x1: NdArray, z: NdArray): { readonly x: NdArray; readonly velocity: NdArray } {
  const at = (a: number, b: number, c: number) => x0.mul(a).add(x1.mul(b)).add(z.mul(c))
  return { x: at(mix.a, mix.b, mix.c), velocity: at(mix.rate.a, mix.rate.b, mix.rate.c) }
}

/** A field over states and times: the velocity E[ẋ | x], or the score ∇ ln p_t(x) = −E[z | x]/c. */
export type Field = (x: NdArray, t: number) => Promise<NdArray> | NdArray

export interface InterpolantOptions {
  readonly steps: number
  /** Noise of the SDE, ε(t) ≥ 0; needs the score and a generator. 0 solves the ODE. */
  readonly diffusion?: (t: number) => number
  readonly score?: Field
  readonly generator?: Generator
}

/**
 * Carries samples of x0's distribution to x1's: Heun's method on dx = v dt, or Euler–Maruyama on dx = (v + ε·score)dt + √(2ε)dw
 * (Albergo et al. 2023, corollaries 18 and 19). Yields before every step.
 */
export async function* transport(
  velocity: Field,
  x: NdArray,
  options: InterpolantOptions,
): AsyncGenerator<{ t: number; x: NdArray }, NdArray, void> {
  const { steps, diffusion, score, generator } = options
  if (!(Number.isInteger(steps) && steps >= 1)) throw new ArgumentError(`transport: expected steps ≥ 1, got ${steps}`)
  if (diffusion && !(score && generator)) throw new ArgumentError('transport: diffusion needs { score, generator }')
  const h = 1 / steps
  for (let i = 0; i < steps; i++) {
    const t = i * h
    yield { t, x }
    const first = await velocity(x, t)
    const epsilon = diffusion?.(t) ?? 0
    if (epsilon > 0 && score && generator) {
      const drift = first.add((await score(x, t)).mul(epsilon))
      x = x.add(drift.mul(h)).add(generator.randn(x.shape).mul(Math.sqrt(2 * epsilon * h)))
    } else {
      const second = await velocity(x.add(first.mul(h)), t + h)
      x = x.add(first.add(second).mul(h / 2))
    }
  }
  return x
}
