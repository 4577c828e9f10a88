import { ArgumentError } from '../core/errors.ts'
import { concat } from '../core/functions.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { finish, schedulerFromConfig } from '../diffusion/index.ts'
import { latentStatistics } from '../models/vae/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type CompileOptions, compile, type Program } from '../runtime/program.ts'
import { Programs } from '../runtime/programs.ts'
import { Generator } from '../runtime/random.ts'
import { type Autoencoder, createAutoencoder } from './autoencoder.ts'
import { type FlowBatchParts, type Named, type PromptBatchParts, promptModel } from './prompt-models.ts'

export interface PromptBatchOptions {
  readonly steps: number
  /** How strongly prompts guide (Ho and Salimans 2021); 1 is not at all. */
  readonly guidance: number
  /** Picture k starts from the noise of seed `seed + k`, as the pipeline's does. */
  readonly seed: number
  /** Of a model with ControlNets: the control images of each, [prompts, C, H, W] in [0, 1]. */
  readonly hints?: readonly NdArray<'f32'>[] | undefined
  /** How strongly each ControlNet acts; 1 unless given. */
  readonly scales?: readonly number[] | undefined
  readonly signal?: AbortSignal | undefined
  readonly onPictures?: (done: number, total: number) => void
}

/** Many prompts through a small text-to-image model, `batch` of them at once. */
export interface PromptBatches {
  /** Pictures [prompts, 3, H, W], nominally in [−1, 1], a prompt each. */
  generate(prompts: readonly string[], options: PromptBatchOptions): Promise<NdArray<'f32'>>
  readonly autoencoder: Autoencoder
  /** Frees the engine's memory. */
  release(): Promise<void>
}

export function createPromptBatches(
  parts: PromptBatchParts | FlowBatchParts,
  { batch = 16, ...options }: CompileOptions & { readonly batch?: number } = {},
): PromptBatches {
  const { encoder, denoiser, vae, scheduler, size } = promptModel(parts)
  const { channels } = denoiser
  const side = size / 2 ** (vae.config.block_out_channels.length - 1)
  const encoders = new Programs((count: number) => compile({ outputs: encoder.trace(count), weights: encoder.weights }, options))
  /** Guided: the rows without a prompt, then those with theirs, in one batch. */
  const denoisers = new Programs((key: string) => {
    const [count, guided] = key.split(' ').map(Number) as [number, number]
    const x = input('x', [count, channels, side, side])
    const t = input('t', [1])
    const rows = guided ? concat([x, x], 0) : x
    const each = rows.shape[0] as number
    const shapes = Object.entries(encoder.trace(count)).map(([name, { shape }]) => [name, [each, ...shape.slice(1)]] as const)
    const conditions = Object.fromEntries(shapes.map(([name, shape]) => [name, input(name, shape)]))
    const controls = Object.fromEntries(
      denoiser.hints.flatMap((own, i) => {
        const hint = input(`hint${i}`, [count, own, size, size])
        return [
          [`hint${i}`, guided ? concat([hint, hint], 0) : hint],
          [`scale${i}`, input(`scale${i}`, [])],
        ]
      }),
    )
    const out = denoiser.trace(rows, t.expand([each]), { ...conditions, ...controls })
    const { weights } = denoiser
    if (!guided) return compile({ outputs: { out }, weights }, options)
    const [empty, told] = out.split(2, 0) as [Tensor, Tensor]
    return compile({ outputs: { out: empty.add(told.sub(empty).mul(input('guidance', []))) }, weights }, options)
  })
  const coder = createAutoencoder(vae, { batch, ...options })
  const { mean, std } = latentStatistics(vae.config)
  const [shift, scale] = [mean, std].map((values) => NdArray.from(values, [1, values.length, 1, 1])) as [NdArray, NdArray]
  const plan = schedulerFromConfig(scheduler)

  const conditionsOf = async (prompts: readonly string[], guided: boolean): Promise<Named<NdArray>> => {
    const program = await encoders.get(prompts.length)
    const told = await program.run({ ...encoder.feeds(prompts) })
    if (!guided) return told
    const empty = await program.run({ ...encoder.feeds(prompts.map(() => '')) })
    return Object.fromEntries(
      Object.entries(told).map(([name, value]) => [
        name,
        NdArray.concat([empty[name] as NdArray<'f32'>, value as NdArray<'f32'>]),
      ]),
    )
  }

  return {
    autoencoder: coder,
    async generate(prompts, { steps, guidance, seed, hints = [], scales, signal, onPictures }) {
      if (hints.length !== denoiser.hints.length)
        throw new ArgumentError(
          `generate: control images for ${hints.length} of ${denoiser.hints.length} ControlNets; give each its own`,
        )
      const found: NdArray<'f32'>[] = []
      const guided = guidance !== 1
      for (let from = 0; from < prompts.length; from += batch) {
        const own = prompts.slice(from, from + batch)
        const controls = hints.flatMap((hint, i) => [
          [`hint${i}`, hint.slice(0, from, from + own.length)],
          [`scale${i}`, NdArray.full([], scales?.[i] ?? 1)],
        ])
        const conditions = { ...(await conditionsOf(own, guided)), ...Object.fromEntries(controls) }
        const program: Program = await denoisers.get(`${own.length} ${guided ? 1 : 0}`)
        const model = async (x: NdArray, t: number) => {
          signal?.throwIfAborted()
          const feeds = { ...conditions, x: x.cast('f32'), t: NdArray.full([1], t) }
          return (await program.run(guided ? { ...feeds, guidance: NdArray.full([], guidance) } : feeds)).out as NdArray
        }
        const noise = NdArray.concat(own.map((_, i) => new Generator(seed + from + i).randn([1, channels, side, side])))
        const start = noise.mul(plan.initialSigma(steps))
        const z = await finish(plan.run(model, start, { steps, generator: new Generator(seed) }))
        found.push(await coder.decode(z.mul(scale).add(shift).cast('f32')))
        onPictures?.(from + own.length, prompts.length)
      }
      return NdArray.concat(found)
    },
    async release() {
      await encoders.release()
      await denoisers.release()
      await coder.release()
    },
  }
}
