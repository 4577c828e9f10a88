import { probabilityFlow, type SchedulerConfig, type Sampling as Steps, schedulerFromConfig, ve } from '../../diffusion/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import type { DdpmParts } from '../ddpm/folder.ts'
import { type PictureSampling, pictureNetwork } from '../ddpm/model.ts'
import type { SdeSamplerName } from './model.ts'

/** What a run takes; `steps` is for pc and sde, `tolerance` for ode. */
export interface VeSampling {
  readonly num: number
  readonly steps: number
  readonly seed: number
  readonly sampler: SdeSamplerName
  readonly tolerance: number
  readonly batch: number
  readonly signal?: AbortSignal | undefined
}

/** A variance-exploding score model (Song and Ermon 2019, Song et al. 2021): its network gives ∇ log p of pictures in [0, 1]. */
export interface VeScore {
  /** Pictures [num, C, H, W] in [−1, 1]; yields each step with the pictures so far. */
  sample(run: VeSampling): PictureSampling
  release(): Promise<void>
}

export function createVeScore({ config, weights, scheduler }: DdpmParts, options: CompileOptions = {}): VeScore {
  const { shape, predict, release } = pictureNetwork({ config, weights }, options)
  return {
    async *sample({ num, seed, ...run }) {
      const generator = new Generator(seed)
      const noise = generator.randn([num, ...shape])
      let calls = 0
      const score = async (x: NdArray, sigma: number) => {
        const output = await predict(x, sigma, run)
        calls++
        return output
      }
      const { steps, way } =
        run.sampler === 'ode' ? flow(score, noise, scheduler, run) : chain(score, noise, generator, scheduler, run)
      for (let next = await steps.next(); ; next = await steps.next()) {
        if (next.done) return asPictures(next.value)
        yield { ...next.value, denoised: asPictures(next.value.denoised), ...way(calls, next.value.sigma) }
      }
    },
    release,
  }
}

type Score = (x: NdArray, sigma: number) => Promise<NdArray>

/** The reverse SDE by diffusers' scheduler, with its Langevin steps (`pc`) or without. */
function chain(
  score: Score,
  noise: NdArray,
  generator: Generator,
  config: SchedulerConfig,
  { steps, sampler }: Pick<VeSampling, 'steps' | 'sampler'>,
) {
  const scheduler = schedulerFromConfig(sampler === 'sde' ? { ...config, correct_steps: 0 } : config)
  const plan = { steps, generator }
  const total = scheduler.timesteps(plan).length
  return {
    steps: scheduler.run(score, noise.mul(scheduler.initialSigma(plan)), plan),
    way: (done: number) => ({ done, total }),
  }
}

/** The probability-flow ODE by adaptive RK45, from the greatest level to the least; its way is measured in ln σ, in hundredths. */
function flow(score: Score, noise: NdArray, config: SchedulerConfig, { tolerance }: Pick<VeSampling, 'tolerance'>) {
  const { sigma_min: least, sigma_max: most } = schedulerFromConfig(config).options as { sigma_min: number; sigma_max: number }
  const denoise = async (x: NdArray, sigma: number) => x.add((await score(x, sigma)).mul(sigma * sigma))
  async function* steps(): Steps {
    const end = yield* probabilityFlow(denoise, noise.mul(most), most, least, { path: ve, atol: tolerance, rtol: tolerance })
    return denoise(end, least)
  }
  const way = (_: number, sigma: number) => ({
    done: Math.floor((100 * Math.log(sigma / most)) / Math.log(least / most)),
    total: 100,
  })
  return { steps: steps(), way }
}

/** From [0, 1], cut there, to [−1, 1]. */
const asPictures = (x: NdArray): NdArray<'f32'> => x.clamp(0, 1).mul(2).sub(1).cast('f32')
