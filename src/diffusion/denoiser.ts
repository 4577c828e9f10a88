import { ArgumentError, LangevinError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'

/** The one contract of this room: x at noise level `sigma` → the expected clean data, E[x0 | x]. */
export type Denoise = (x: NdArray, sigma: number) => Promise<NdArray> | NdArray

/** What a sampler shows before each step: the state at `sigma` and what the denoiser makes of it. */
export interface Step {
  readonly i: number
  readonly sigma: number
  readonly x: NdArray
  readonly denoised: NdArray
}

/** A sampler under way: `for await` over its steps gives progress, previews and cancellation; it returns the sample. */
export type Sampling = AsyncGenerator<Step, NdArray, void>

/** Runs a sampling, or another generator, to its end; `each` sees every step. */
export async function finish<S, R>(sampling: AsyncGenerator<S, R>, each: (step: S) => void = () => {}): Promise<R> {
  for (let next = await sampling.next(); ; next = await sampling.next()) {
    if (next.done) return next.value
    each(next.value)
  }
}

/** A network gave NaN or infinity: `step` counts from 0. */
export class NonFiniteError extends LangevinError {
  readonly step: number
  constructor(step: number, where: string) {
    super(
      `step ${step} (${where}): the model's output is not finite; check its weights, its dtype and the scheduler's prediction_type`,
    )
    this.step = step
  }
}

/** A denoiser whose output is checked: NaN or infinity is a NonFiniteError that names the evaluation. One use a run. */
export function finite(denoise: Denoise): Denoise {
  let call = 0
  return async (x, sigma) => {
    const data = await denoise(x, sigma)
    if (!data.allFinite()) throw new NonFiniteError(call, `σ = ${sigma}`)
    call++
    return data
  }
}

/** The stochastic samplers' source of noise; one that draws without being given a generator is an error. */
export function noiseSource(generator: Generator | undefined, sampler: string): Generator {
  if (!generator) throw new ArgumentError(`${sampler}: this setting draws noise; pass { generator: new Generator(seed) }`)
  return generator
}
