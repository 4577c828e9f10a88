import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { ConfigError, FolderError, loadConfig, matchWeights, openWeights, readModelIndex } from '../checkpoints/index.ts'
import { ArgumentError } from '../core/errors.ts'
import { input } from '../core/tensor.ts'
import type { SchedulerConfig, Step } from '../diffusion/index.ts'
import { type UNet2DConfig, unet2d, unet2dConfig } from '../models/unet/index.ts'
import { Params } from '../nn/params.ts'
import { renameAttention } from '../nn/spatial-attention.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../runtime/program.ts'
import { Programs } from '../runtime/programs.ts'
import { Generator } from '../runtime/random.ts'
import type { Weights } from '../runtime/weights.ts'
import { parseOptions, parts, samplerOption, schedulerNamed, seedOption } from './options.ts'

export const ddpmOptions = z.object({
  num: z.int().positive().default(1).meta({ description: 'how many pictures' }),
  steps: z.int().positive().optional().meta({ description: 'sampling steps; as many as in training with ddpm, else 50' }),
  seed: seedOption,
  scheduler: samplerOption,
  eta: z.number().min(0).max(1).default(0).meta({ description: 'noise that ddim renews: 0 none, 1 as much as ddpm' }),
  batch: z
    .int()
    .positive()
    .default(16)
    .meta({ description: 'pictures that go through the network at once; no matter to the result' }),
})

/** A step of sampling, and how far it is. */
export interface SampleProgress extends Step {
  /** Times that the network has run for all pictures, of so many. */
  readonly done: number
  readonly total: number
}

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
  sample(options?: SampleOptions): AsyncGenerator<SampleProgress, NdArray<'f32'>, void>
  /** Frees the engine's memory. */
  release(): Promise<void>
}

/** The class of scheduler that a pipeline forces upon its config, where it does. */
const pipelines: Readonly<Record<string, string | undefined>> = { DDPMPipeline: undefined, DDIMPipeline: 'DDIMScheduler' }

/**
 * Opens a folder of a diffusers `DDPMPipeline` or `DDIMPipeline`: `model_index.json`, `unet/`, `scheduler/`.
 *
 * @param options.variant as `fp16`: which of the weights
 * @throws ConfigError, FolderError, ModelConfigError, CheckpointError, SchedulerConfigError: what is wrong with which file
 */
export async function loadDdpm(
  dir: string,
  { variant, ...options }: CompileOptions & { readonly variant?: string } = {},
): Promise<Ddpm> {
  const file = join(dir, 'model_index.json')
  if (!existsSync(file)) {
    throw new FolderError(
      dir,
      'has no model_index.json; expected what save_pretrained of a DDPMPipeline writes: it, unet/ and scheduler/',
    )
  }
  const { _class_name: name, components } = readModelIndex(dir)
  if (!Object.hasOwn(pipelines, name)) {
    const known = Object.keys(pipelines).join(' and ')
    throw new ConfigError(file, `is ${name}; pictures without a condition come from ${known}`, { field: '_class_name' })
  }
  for (const part of ['unet', 'scheduler']) {
    if (!components.get(part)) throw new ConfigError(file, `lacks this component of a ${name}`, { field: part })
  }
  const unetDir = join(dir, 'unet')
  const config = unet2dConfig(loadConfig(unetDir), join(unetDir, 'config.json'))
  if (config.sample_size === null)
    throw new ConfigError(join(unetDir, 'config.json'), 'must be the size of the pictures', { field: 'sample_size' })
  const stored = loadConfig(join(dir, 'scheduler'), 'scheduler_config.json')
  const scheduler: SchedulerConfig = { ...stored, _class_name: pipelines[name] ?? stored._class_name ?? 'DDPMScheduler' }
  schedulerNamed(undefined, scheduler)

  const p = new Params()
  unet2d(p, config)
  const weights = matchWeights(p.tensors, openWeights(unetDir, variant === undefined ? {} : { variant }), {
    place: unetDir,
    rename: renameAttention,
  })
  return createDdpm({ config, scheduler, weights }, options)
}

/** What a folder holds, or a training run has in its hands. */
export interface DdpmParts {
  /** Its `sample_size` is the pictures' size. */
  readonly config: UNet2DConfig
  readonly scheduler: SchedulerConfig
  readonly weights: Weights
}

/** An unconditional model from its parts. @throws ArgumentError where the config has no size of pictures */
export function createDdpm({ config, scheduler, weights }: DdpmParts, options: CompileOptions = {}): Ddpm {
  if (config.sample_size === null) throw new ArgumentError('createDdpm: sample_size must be the size of the pictures')
  const network = unet2d(new Params(), config)
  const size = [config.sample_size].flat()
  const shape = [config.in_channels, size[0] as number, size.at(-1) as number]
  const programs = new Programs((batch: number) => {
    const output = network(input('sample', [batch, ...shape]), input('timestep', [batch]))
    return compile({ outputs: { output }, weights }, options)
  })

  async function predict(x: NdArray, t: number, batch: number, signal: AbortSignal | undefined): Promise<NdArray> {
    const outputs: NdArray[] = []
    for (const [from, to] of parts(x.shape[0] as number, batch)) {
      signal?.throwIfAborted()
      const program = await programs.get(to - from)
      const feeds = { sample: x.slice(0, from, to), timestep: NdArray.full([to - from], t) }
      outputs.push((await program.run(feeds)).output as NdArray)
    }
    return NdArray.concat(outputs)
  }

  async function* sample({ signal, ...given }: SampleOptions = {}): AsyncGenerator<SampleProgress, NdArray<'f32'>, void> {
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
      const output = await predict(x, t, batch, signal)
      done++
      return output
    }
    const sampling = run(model, generator.randn([num, ...shape]).mul(initialSigma(plan)), plan)
    for (let next = await sampling.next(); ; next = await sampling.next()) {
      if (next.done) return next.value.cast('f32')
      yield { ...next.value, done, total }
    }
  }

  return { config, scheduler, sample, release: () => programs.release() }
}
