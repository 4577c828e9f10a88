import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { grad } from '../../core/grad.ts'
import { sizeOf } from '../../core/shape.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import {
  betaSchedule,
  bitsPerDimension,
  type Denoise,
  type DenoiserJvp,
  GaussianDiffusion,
  type Level,
  levelOf,
  odeLogLikelihood,
  posteriorStep,
  predictorCorrector,
  probabilityFlow,
  sdeSigmas,
  variationalBound,
  vp,
  vpSde,
} from '../../diffusion/index.ts'
import { type UNet2DConfig, unet2d } from '../../models/unet/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { Generator } from '../../runtime/random.ts'
import { type DdpmParts, openDdpm } from '../ddpm/folder.ts'
import { ddpmOptions, type PictureSampling, pictureShape } from '../ddpm/model.ts'
import { inParts, parseOptions, seedOption } from '../options.ts'
import { turns } from '../parts/turns.ts'

/** Predictor and corrector, the reverse SDE alone, or the probability-flow ODE by adaptive RK45. */
export const sdeSamplerNames = ['pc', 'sde', 'ode'] as const
export type SdeSamplerName = (typeof sdeSamplerNames)[number]
/** What a picture's settings call them. */
export const sdeSamplers: Readonly<Record<SdeSamplerName, string>> = {
  pc: 'predictor-corrector',
  sde: 'reverse SDE',
  ode: 'probability-flow ODE',
}

export const scoreSdeOptions = z.object({
  num: ddpmOptions.shape.num,
  steps: z.int().positive().optional().meta({ description: 'steps of pc and sde, 200 unless told; ode chooses its own' }),
  seed: seedOption,
  sampler: z.enum(sdeSamplerNames).default('pc').meta({ description: 'the sampler' }),
  tolerance: z.number().positive().default(1e-4).meta({ description: "the ODE's accepted local error, absolute and relative" }),
  batch: ddpmOptions.shape.batch,
})
type Sampling = Partial<z.infer<typeof scoreSdeOptions>> & { readonly signal?: AbortSignal }

export interface LikelihoodOptions extends Pick<Sampling, 'seed' | 'tolerance' | 'batch' | 'signal'> {}

export interface ScoreSdeOptions extends CompileOptions {
  /** The time short of 0 where sampling and likelihoods stop: the least that was trained, 1e-3 unless told. */
  readonly end?: number
}

/** A variance-preserving score model in continuous time. */
export interface ScoreSde {
  readonly config: UNet2DConfig
  /** E[x0 | x] at a noise level σ of the `vp` path. */
  readonly denoise: Denoise
  /** v·J of the denoiser at x, by the network's own gradient: what Hutchinson's estimate of its trace takes. */
  readonly jacobian: DenoiserJvp
  /**
   * Pictures [num, C, H, W], nominally in [−1, 1] (Song et al. 2021, Algorithms 1 and 5, and section 4.3). Yields each step. Of
   * the ODE, whose steps nobody knows before, `done` is the hundredths of the way in ln(σ/α).
   */
  sample(options?: Sampling): PictureSampling
  /**
   * Bits per dimension of pictures [B, C, H, W] of 256 levels in [−1, 1], one number a picture, by the probability-flow ODE with
   * Hutchinson's estimate (Song et al. 2021, appendix D.2). Levels are made continuous by even noise of one level's width.
   */
  bitsPerDimension(pictures: NdArray, options?: LikelihoodOptions): Promise<number[]>
  /**
   * An upper bound of −log₂ p per dimension, one number a picture: the variational bound of the chain of so many steps as the
   * scheduler has (Ho et al. 2020, eq. 5), with the posterior's variances and one draw of noise a term. Of `every` so many
   * neighbouring terms one, drawn evenly, stands for all.
   */
  variationalBound(
    pictures: NdArray,
    options?: Omit<LikelihoodOptions, 'tolerance'> & { readonly every?: number },
  ): Promise<number[]>
  release(): Promise<void>
}

/**
 * E[x0 | x] from x and what the network gives; as it is linear in the two, also v·J of it from v and v·J of the network.
 * From ε it is (x − σε)/α, from v = αε − σx₀ it is αx − σv (Salimans and Ho 2022, appendix D).
 */
const readings: Readonly<Record<string, (x: NdArray, output: NdArray, level: Level) => NdArray>> = {
  epsilon: (x, output, { alpha, sigma }) => x.sub(output.mul(sigma)).div(alpha),
  v_prediction: (x, output, { alpha, sigma }) => x.mul(alpha).sub(output.mul(sigma)),
}

/**
 * Opens the folder of a score SDE or DDPM as an SDE.
 *
 * @param options.variant as `fp16`: which of the weights
 * @throws what `openDdpm` and `createScoreSde` do
 */
export async function loadScoreSde(
  dir: string,
  { variant, ...options }: ScoreSdeOptions & { readonly variant?: string } = {},
): Promise<ScoreSde> {
  return createScoreSde(openDdpm(dir, variant === undefined ? {} : { variant }), options)
}

/**
 * A network trained by the recipe `score`, or a DDPM with linear betas, as an SDE: timestep 999·t of the chain is time t.
 *
 * @throws ArgumentError for another schedule or prediction
 */
export function createScoreSde(
  { config, scheduler, weights }: DdpmParts,
  { end = 1e-3, ...options }: ScoreSdeOptions = {},
): ScoreSde {
  const { beta_schedule = 'linear', prediction_type = 'epsilon' } = scheduler
  const dataOf = readings[String(prediction_type)]
  if (beta_schedule !== 'linear' || !dataOf)
    throw new ArgumentError(
      `a score SDE has linear betas and predicts ${Object.keys(readings).join(' or ')}; this model has ${beta_schedule} and ${prediction_type}`,
    )
  if (!(end > 0 && end < 1)) throw new ArgumentError(`createScoreSde: expected 0 < end < 1, got ${end}`)
  const shape = pictureShape(config, 'createScoreSde')
  const count = Number(scheduler.num_train_timesteps ?? 1000)
  const [start, last] = [Number(scheduler.beta_start ?? 1e-4), Number(scheduler.beta_end ?? 0.02)]
  const [low, high] = [start * count, last * count]
  const sde = vpSde({ min: low, max: high })
  /** The time of a level: ∫₀ᵗ β = −ln(1 − σ²). */
  const timeOf = (sigma: number) => {
    const integral = -Math.log1p(-sigma * sigma)
    return (2 * integral) / (low + Math.sqrt(low * low + 2 * (high - low) * integral))
  }
  const network = unet2d(new Params(), config)
  const turn = turns()
  const drawn = (batch: number) => {
    const x = input('x', [batch, ...shape])
    return { x, output: network(x, input('t', [batch])) }
  }
  const forward = new Programs((batch: number) => compile({ outputs: { output: drawn(batch).output }, weights }, options))
  const backward = new Programs((batch: number) => {
    const { x, output } = drawn(batch)
    const [slope] = grad(output.mul(input('v', [batch, ...shape])).sum(), [x]) as [Tensor]
    return compile({ outputs: { output: slope }, weights }, options)
  })
  /** What programs give at a level, in parts of a batch. */
  type Running = { readonly batch: number; readonly signal?: AbortSignal | undefined }
  const run = (programs: Programs<number>, sigma: number, feeds: Readonly<Record<string, NdArray>>, running: Running) =>
    inParts((feeds.x as NdArray).shape[0] as number, running, (from, to) =>
      turn(async () => {
        const part = Object.entries(feeds).map(([name, value]) => [name, value.slice(0, from, to)])
        const t = NdArray.full([to - from], (count - 1) * timeOf(sigma))
        return (await (await programs.get(to - from)).run({ ...Object.fromEntries(part), t })).output as NdArray
      }),
    )
  const denoiser =
    (running: Running): Denoise =>
    async (x, sigma) =>
      dataOf(x, await run(forward, sigma, { x }, running), levelOf(vp, sigma))
  const jacobianOf =
    (running: Running): DenoiserJvp =>
    async (x, sigma, v) =>
      dataOf(v, await run(backward, sigma, { x, v }, running), levelOf(vp, sigma))
  const [least, most] = [sde.sigma(end), sde.sigma(1)]

  async function* sample({ signal, ...given }: Sampling = {}): PictureSampling {
    const { num, steps, seed, sampler, tolerance, batch } = parseOptions('sample', scoreSdeOptions, given)
    const generator = new Generator(seed)
    const x = generator.randn([num, ...shape])
    const denoise = denoiser({ batch, signal })
    if (sampler === 'ode') {
      if (steps !== undefined) throw new ArgumentError('steps: the sampler ode chooses its own; give pc or sde, or no steps')
      const [from, to] = [most, least].map((sigma) => levelOf(vp, sigma)) as [Level, Level]
      const sampling = probabilityFlow(denoise, x, most, least, { path: vp, atol: tolerance, rtol: tolerance })
      for (let next = await sampling.next(); ; next = await sampling.next()) {
        if (next.done) return (await denoise(next.value, least)).cast('f32')
        const way = (levelOf(vp, next.value.sigma).lambda - from.lambda) / (to.lambda - from.lambda)
        yield { ...next.value, done: Math.floor(100 * way), total: 100 }
      }
    }
    const corrections = sampler === 'pc' ? 1 : 0
    const sigmas = sdeSigmas(sde, steps ?? 200, end)
    const total = (sigmas.length - 1) * (1 + corrections)
    const sampling = predictorCorrector(denoise, x, sigmas, { generator, path: vp, corrections })
    for (let next = await sampling.next(); ; next = await sampling.next()) {
      if (next.done) return next.value.cast('f32')
      yield { ...next.value, done: (next.value.i + 1) * (1 + corrections), total }
    }
  }

  return {
    config,
    denoise: (x, sigma) => denoiser({ batch: x.shape[0] as number })(x, sigma),
    jacobian: (x, sigma, v) => jacobianOf({ batch: x.shape[0] as number })(x, sigma, v),
    sample,
    async bitsPerDimension(pictures, { seed = 0, tolerance = 1e-4, batch = 64, signal } = {}) {
      const generator = new Generator(seed)
      const u = generator.rand(pictures.shape).data
      const x = pictures.map((value, i) => ((value + 1) * 127.5 + (u[i] as number)) / 128 - 1)
      const { logLikelihood } = await odeLogLikelihood(denoiser({ batch, signal }), x, {
        path: vp,
        min: least,
        max: most,
        generator,
        jvp: jacobianOf({ batch, signal }),
        atol: tolerance,
        rtol: tolerance,
      })
      const dimensions = sizeOf(shape)
      return Array.from(logLikelihood.data, (nats) => bitsPerDimension(Number(nats), dimensions))
    },
    async variationalBound(pictures, { seed = 0, batch = 64, every = 1, signal } = {}) {
      const process = new GaussianDiffusion(betaSchedule('linear', { steps: count, start, end: last }))
      const reverse = posteriorStep(process, denoiser({ batch, signal }))
      const bits = await variationalBound(process, reverse, pictures, new Generator(seed), { every })
      return Array.from(bits.data, Number)
    },
    async release() {
      await forward.release()
      await backward.release()
    },
  }
}
