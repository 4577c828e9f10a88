import { ArgumentError } from '../core/errors.ts'
import { grad } from '../core/grad.ts'
import { input, type Tensor } from '../core/tensor.ts'
import {
  bitsPerDimension,
  type Denoise,
  type DenoiserJvp,
  odeLogLikelihood,
  predictorCorrector,
  probabilityFlow,
  sdeSigmas,
  vp,
  vpSde,
} from '../diffusion/index.ts'
import { unet2d } from '../models/unet/index.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type CompileOptions, compile, type Program } from '../runtime/program.ts'
import { Programs } from '../runtime/programs.ts'
import { Generator } from '../runtime/random.ts'
import type { DdpmParts } from './ddpm.ts'
import { finish } from './options.ts'

export interface ScoreSdeOptions {
  readonly num?: number
  /** Steps of the two SDE samplers; the ODE's solver chooses its own. */
  readonly steps?: number
  readonly seed?: number
  /** Predictor and corrector, the reverse SDE alone, or the probability-flow ODE by adaptive RK45. */
  readonly sampler?: 'pc' | 'sde' | 'ode'
  /** Accepted local error of the ODE, absolute and relative. */
  readonly tolerance?: number
}

/** A variance-preserving score model in continuous time. */
export interface ScoreSde {
  /** E[x0 | x] at a noise level σ of the `vp` path. */
  readonly denoise: Denoise
  /** v·J of the denoiser at x, by the network's own gradient: what Hutchinson's estimate of its trace takes. */
  readonly jacobian: DenoiserJvp
  /** Pictures [num, C, H, W], nominally in [−1, 1] (Song et al. 2021, Algorithms 1 and 5, and section 4.3). */
  sample(options?: ScoreSdeOptions): Promise<NdArray>
  /**
   * Bits per dimension of pictures [B, C, H, W] of 256 levels in [−1, 1], one number a picture, by the probability-flow ODE with
   * Hutchinson's estimate (Song et al. 2021, appendix D.2). Levels are made continuous by even noise of one level's width.
   */
  bitsPerDimension(pictures: NdArray, options?: Pick<ScoreSdeOptions, 'seed' | 'tolerance'>): Promise<number[]>
  release(): Promise<void>
}

/** Where training and sampling stop short of t = 0. */
const END = 1e-3

/**
 * A network trained by the recipe `score`, or a DDPM with linear betas that predicts noise, as an SDE: timestep 999·t of the chain
 * is time t.
 *
 * @throws ArgumentError for another schedule or prediction
 */
export function createScoreSde({ config, scheduler, weights }: DdpmParts, options: CompileOptions = {}): ScoreSde {
  const { beta_schedule = 'linear', prediction_type = 'epsilon', num_train_timesteps: count = 1000 } = scheduler
  if (beta_schedule !== 'linear' || prediction_type !== 'epsilon')
    throw new ArgumentError(
      `createScoreSde: expected linear betas and a prediction of epsilon, got ${beta_schedule} and ${prediction_type}`,
    )
  if (config.sample_size === null) throw new ArgumentError('createScoreSde: sample_size must be the size of the pictures')
  const [low, high] = [scheduler.beta_start ?? 1e-4, scheduler.beta_end ?? 0.02].map((beta) => Number(beta) * Number(count)) as [
    number,
    number,
  ]
  const sde = vpSde({ min: low, max: high })
  /** The time of a level: ∫₀ᵗ β = −ln(1 − σ²). */
  const timeOf = (sigma: number) => {
    const integral = -Math.log1p(-sigma * sigma)
    return (2 * integral) / (low + Math.sqrt(low * low + 2 * (high - low) * integral))
  }
  const size = [config.sample_size].flat()
  const shape = [config.in_channels, size[0] as number, size.at(-1) as number]
  const network = unet2d(new Params(), config)
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
  async function run(programs: Programs<number>, sigma: number, feeds: Readonly<Record<string, NdArray>>): Promise<NdArray> {
    const batch = (feeds.x as NdArray).shape[0] as number
    const program: Program = await programs.get(batch)
    const t = NdArray.full([batch], (Number(count) - 1) * timeOf(sigma))
    return (await program.run({ ...feeds, t })).output as NdArray
  }

  const denoise: Denoise = async (x, sigma) => x.sub((await run(forward, sigma, { x })).mul(sigma)).div(vp.alpha(sigma))
  const jacobian: DenoiserJvp = async (x, sigma, v) =>
    v.sub((await run(backward, sigma, { x, v })).mul(sigma)).div(vp.alpha(sigma))
  const [least, most] = [sde.sigma(END), sde.sigma(1)]

  return {
    denoise,
    jacobian,
    async sample({ num = 1, steps = 200, seed = 0, sampler = 'pc', tolerance = 1e-4 } = {}) {
      const generator = new Generator(seed)
      const x = generator.randn([num, ...shape])
      if (sampler === 'ode') {
        const { x: end } = await probabilityFlow(denoise, x, most, least, { path: vp, atol: tolerance, rtol: tolerance })
        return denoise(end, least)
      }
      const corrections = sampler === 'pc' ? 1 : 0
      return finish(predictorCorrector(denoise, x, sdeSigmas(sde, steps, END), { generator, path: vp, corrections }))
    },
    async bitsPerDimension(pictures, { seed = 0, tolerance = 1e-4 } = {}) {
      const generator = new Generator(seed)
      const u = generator.rand(pictures.shape).data
      const x = pictures.map((value, i) => ((value + 1) * 127.5 + (u[i] as number)) / 128 - 1)
      const tolerances = { atol: tolerance, rtol: tolerance }
      const found = await odeLogLikelihood(denoise, x, {
        path: vp,
        min: least,
        max: most,
        generator,
        jvp: jacobian,
        ...tolerances,
      })
      const dimensions = shape.reduce((a, b) => a * b, 1)
      return Array.from(found.logLikelihood.data, (nats) => bitsPerDimension(Number(nats), dimensions))
    },
    async release() {
      await forward.release()
      await backward.release()
    },
  }
}
