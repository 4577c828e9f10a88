import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { input } from '../../core/tensor.ts'
import type { SchedulerConfig, Step } from '../../diffusion/index.ts'
import { type UNet2DConfig, unet2d } from '../../models/unet/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { Generator } from '../../runtime/random.ts'
import { inParts, parseOptions, samplerOption, schedulerNamed, seedOption } from '../options.ts'
import { turns } from '../parts/turns.ts'
import { type DdpmParts, openDdpm } from './folder.ts'

export const ddpmOptions = z.object({
  num: z.int().positive().default(1).meta({ description: 'how many pictures' }),
  steps: z.int().positive().optional().meta({ description: 'sampling steps; as many as in training with ddpm, else 50' }),
  seed: seedOption,
  scheduler: samplerOption,
  eta: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .meta({ description: 'share of noise that ddim draws anew at each step: 0 none, 1 as much as ddpm' }),
  batch: z
    .int()
    .positive()
    .default(16)
    .meta({ description: 'pictures that go through the network at once; the result does not depend on it' }),
})

/** A step of sampling, and how far it is. */
export interface SampleProgress extends Step {
  /** Times that the network has run for all pictures, of so many. */
  readonly done: number
  readonly total: number
}
/** Pictures under way: its steps, then [num, C, H, W], nominally in [−1, 1]. */
export type PictureSampling = AsyncGenerator<SampleProgress, NdArray<'f32'>, void>

export interface SampleOptions extends Partial<z.infer<typeof ddpmOptions>> {
  /** Stops between two runs of the network, with the signal's reason. */
  readonly signal?: AbortSignal
}

/** An unconditional diffusion model of pictures. */
export interface Ddpm {
  readonly config: UNet2DConfig
  /** What `scheduler_config.json` says, under the class that the pipeline samples with. */
  readonly scheduler: SchedulerConfig
  /**
   * Samples pictures [num, C, H, W], nominally in [−1, 1], as diffusers' DDPMPipeline and DDIMPipeline do with a generator on
   * the CPU and a batch of `num`. Yields each step with the pictures so far (`denoised`).
   */
  sample(options?: SampleOptions): PictureSampling
  /** Frees the engine's memory. */
  release(): Promise<void>
}

/**
 * Opens a folder of a diffusers `DDPMPipeline` or `DDIMPipeline`.
 *
 * @param options.variant as `fp16`: which of the weights
 * @throws what `openDdpm` does
 */
export async function loadDdpm(
  dir: string,
  { variant, ...options }: CompileOptions & { readonly variant?: string } = {},
): Promise<Ddpm> {
  return createDdpm(openDdpm(dir, variant === undefined ? {} : { variant }), options)
}

/** Of one picture: [C, H, W]. @throws ArgumentError where the config has no size of pictures */
export function pictureShape({ sample_size, in_channels }: UNet2DConfig, place: string): [number, number, number] {
  if (sample_size === null) throw new ArgumentError(`${place}: sample_size must be the size of the pictures`)
  const size = [sample_size].flat()
  return [in_channels, size[0] as number, size.at(-1) as number]
}

/** A network of pictures at work: what it gives for states [num, C, H, W] at one timestep, in parts of a batch. */
export function pictureNetwork({ config, weights }: Pick<DdpmParts, 'config' | 'weights'>, options: CompileOptions = {}) {
  const shape = pictureShape(config, 'createDdpm')
  const network = unet2d(new Params(), config)
  const programs = new Programs((batch: number) => {
    const output = network(input('sample', [batch, ...shape]), input('timestep', [batch]))
    return compile({ outputs: { output }, weights }, options)
  })
  const turn = turns()
  const predict = (x: NdArray, t: number, running: { batch: number; signal?: AbortSignal | undefined }): Promise<NdArray> =>
    inParts(x.shape[0] as number, running, (from, to) =>
      turn(async () => {
        const program = await programs.get(to - from)
        const feeds = { sample: x.slice(0, from, to), timestep: NdArray.full([to - from], t) }
        return (await program.run(feeds)).output as NdArray
      }),
    )
  return { shape, predict, release: () => programs.release() }
}

/** An unconditional model from its parts. @throws ArgumentError where the config has no size of pictures */
export function createDdpm({ config, scheduler, weights }: DdpmParts, options: CompileOptions = {}): Ddpm {
  const { shape, predict, release } = pictureNetwork({ config, weights }, options)

  async function* sample({ signal, ...given }: SampleOptions = {}): PictureSampling {
    const { num, steps, seed, scheduler: sampler, eta, batch } = parseOptions('sample', ddpmOptions, given)
    const { className, options, timesteps, initialSigma, run } = schedulerNamed(sampler, scheduler)
    if (eta !== 0 && className !== 'DDIMScheduler')
      throw new ArgumentError(`eta is DDIM's; ${className} has none. Choose the scheduler ddim`)
    const generator = new Generator(seed)
    const all = className === 'DDPMScheduler' ? (options.num_train_timesteps as number) : 50
    const plan = { steps: steps ?? all, generator, ...(className === 'DDIMScheduler' ? { eta } : {}) }
    const total = timesteps(plan).length
    let done = 0
    const model = async (x: NdArray, t: number) => {
      const output = await predict(x, t, { batch, signal })
      done++
      return output
    }
    const sampling = run(model, generator.randn([num, ...shape]).mul(initialSigma(plan)), plan)
    for (let next = await sampling.next(); ; next = await sampling.next()) {
      if (next.done) return next.value.cast('f32')
      yield { ...next.value, done, total }
    }
  }

  return { config, scheduler, sample, release }
}
