import type { Split } from '../../data/index.ts'
import { discretizedLogLikelihood } from '../../diffusion/index.ts'
import type { ScoreSde } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { StickersConfig } from '../data.ts'
import { realPictures } from './quality.ts'

/** A mean over pictures, and its standard error. */
export interface Estimate {
  readonly mean: number
  readonly error: number
}

/** Bits per dimension of a set of pictures. */
export interface SetLikelihood {
  /** −log₂ p by the probability-flow ODE. */
  readonly flow: Estimate
  /** The variational bound of the discrete chain, above −log₂ p of its own. */
  readonly bound: Estimate
  /** Under a normal distribution of every pixel by itself, fitted to training pictures. */
  readonly pixelwise: Estimate
}

/** How probable a score SDE finds pictures of 256 levels: of icons that it never saw, and of those that it learnt from. */
export interface Likelihood {
  /** Pictures in each set. */
  readonly num: number
  /** The time at which the ODE starts. */
  readonly end: number
  readonly heldOut: SetLikelihood
  readonly training: SetLikelihood
}

export interface LikelihoodContext {
  readonly data: StickersConfig
  /** Pictures of each set. */
  readonly num: number
  readonly end: number
  readonly seed: number
  /** Through the network at once; each such part is an ODE of its own. */
  readonly batch: number
  readonly signal?: AbortSignal
  /** Told after each part of the way. */
  readonly onPart?: (done: number, total: number) => void
}

/** Pictures as files hold them: values of 256 levels. */
const inLevels = (pictures: NdArray): NdArray<'f32'> => pictures.map((v) => Math.round((v + 1) * 127.5) / 127.5 - 1)

function estimate(bits: readonly number[]): Estimate {
  const all = NdArray.from(bits)
  return { mean: all.mean().item(), error: all.std().item() / Math.sqrt(bits.length) }
}

/** Bits per dimension of pictures under a normal distribution of every pixel with the mean and deviation of `others`. */
export function pixelwiseBits(pictures: NdArray, others: NdArray): number[] {
  const [mean, deviation] = [others.mean({ axes: [0] }), others.std({ axes: [0] })]
  const nats = discretizedLogLikelihood(pictures, mean, deviation.maximum(1e-3).log().mul(2))
  return Array.from(nats.mean({ axes: [1, 2, 3] }).data, (mean) => -mean / Math.LN2)
}

/** Pictures that the normal distributions are fitted to. */
const FITTED = 1024

/** Measures bits per dimension of held-out pictures and of fresh pictures of the training icons. */
export async function measureLikelihood(model: ScoreSde, context: LikelihoodContext): Promise<Likelihood> {
  const { data, num, end, seed, batch, signal, onPart } = context
  const size = [model.config.sample_size].flat()[0] as number
  const draw = async (split: Split, from: number, to: number) =>
    inLevels((await (await realPictures(data, size, split)).batch(Array.from({ length: to - from }, (_, i) => from + i))).images)
  const fitted = await draw('train', num, num + FITTED)
  const parts = Math.ceil(num / batch)
  let done = 0
  const measured = async (pictures: NdArray): Promise<SetLikelihood> => {
    const bits: Record<'flow' | 'bound', number[]> = { flow: [], bound: [] }
    for (let part = 0; part < parts; part++) {
      const some = pictures.slice(0, part * batch, Math.min(num, (part + 1) * batch))
      const options = { seed: seed + part, batch, ...(signal ? { signal } : {}) }
      bits.flow.push(...(await model.bitsPerDimension(some, options)))
      onPart?.(++done, 4 * parts)
      bits.bound.push(...(await model.variationalBound(some, { ...options, every: 10 })))
      onPart?.(++done, 4 * parts)
    }
    return { flow: estimate(bits.flow), bound: estimate(bits.bound), pixelwise: estimate(pixelwiseBits(pictures, fitted)) }
  }
  return { num, end, heldOut: await measured(await draw('test', 0, num)), training: await measured(await draw('train', 0, num)) }
}
