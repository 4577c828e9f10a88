import { concat } from '../../core/functions.ts'
import { input } from '../../core/tensor.ts'
import { finish, type SchedulerConfig, schedulerFromConfig } from '../../diffusion/index.ts'
import { type DitConfig, ditTransformer } from '../../models/dit/index.ts'
import { type AutoencoderKLConfig, latentStatistics } from '../../models/vae/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { Generator } from '../../runtime/random.ts'
import { type Autoencoder, createAutoencoder } from '../autoencoder.ts'
import type { Network } from '../open/network.ts'
import type { PromptBatchOptions } from '../prompt-batches.ts'
import { noClass } from './labels.ts'

export interface ClassBatchParts {
  readonly transformer: Network<DitConfig>
  readonly vae: Network<AutoencoderKLConfig>
  readonly scheduler: SchedulerConfig
}

/** Many classes through a small diffusion transformer, `batch` of them at once. */
export interface ClassBatches {
  /** Pictures [labels, 3, H, W], nominally in [−1, 1], a class each. Picture k starts from the noise of seed `seed + k`. */
  generate(labels: readonly number[], options: PromptBatchOptions): Promise<NdArray<'f32'>>
  readonly autoencoder: Autoencoder
  /** Frees the engine's memory. */
  release(): Promise<void>
}

export function createClassBatches(
  { transformer, vae, scheduler }: ClassBatchParts,
  { batch = 16, ...options }: CompileOptions & { readonly batch?: number } = {},
): ClassBatches {
  const { config, weights } = transformer
  const { in_channels: channels, sample_size: side, num_embeds_ada_norm: classes } = config
  const none = BigInt(noClass(classes))
  const network = ditTransformer(new Params(), config)
  /** Guided: the rows of no class, then those of theirs, in one batch. */
  const denoisers = new Programs((key: string) => {
    const [count, guided] = key.split(' ').map(Number) as [number, number]
    const x = input('x', [count, channels, side, side])
    const rows = guided ? concat([x, x], 0) : x
    const all = count * (1 + guided)
    const outputs = network(rows, input('t', [1]).expand([all]), input('labels', [all], 'i64'))
    const out = outputs.slice(1, 0, channels)
    if (!guided) return compile({ outputs: { out }, weights }, options)
    const [empty, told] = out.split(2, 0) as [typeof out, typeof out]
    return compile({ outputs: { out: empty.add(told.sub(empty).mul(input('guidance', []))) }, weights }, options)
  })
  const coder = createAutoencoder(vae, { batch, ...options })
  const { mean, std } = latentStatistics(vae.config)
  const [shift, scale] = [mean, std].map((values) => NdArray.from(values, [1, values.length, 1, 1])) as [NdArray, NdArray]
  const plan = schedulerFromConfig(scheduler)

  return {
    autoencoder: coder,
    async generate(labels, { steps, guidance, seed, signal, onPictures }) {
      const found: NdArray<'f32'>[] = []
      const guided = guidance !== 1
      for (let from = 0; from < labels.length; from += batch) {
        const told = labels.slice(from, from + batch).map(BigInt)
        const rows = BigInt64Array.from(guided ? [...told.map(() => none), ...told] : told)
        const conditions = {
          labels: new NdArray(rows, [rows.length], 'i64'),
          ...(guided && { guidance: NdArray.full([], guidance) }),
        }
        const denoiser = await denoisers.get(`${told.length} ${guided ? 1 : 0}`)
        const model = async (x: NdArray, t: number) => {
          signal?.throwIfAborted()
          return (await denoiser.run({ x: x.cast('f32'), t: NdArray.full([1], t), ...conditions })).out as NdArray
        }
        const noise = NdArray.concat(told.map((_, i) => new Generator(seed + from + i).randn([1, channels, side, side])))
        const start = noise.mul(plan.initialSigma(steps))
        const z = await finish(plan.run(model, start, { steps, generator: new Generator(seed) }))
        found.push(await coder.decode(z.mul(scale).add(shift).cast('f32')))
        onPictures?.(from + told.length, labels.length)
      }
      return NdArray.concat(found)
    },
    async release() {
      await denoisers.release()
      await coder.release()
    },
  }
}
