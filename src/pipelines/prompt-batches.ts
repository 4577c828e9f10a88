import { concat } from '../core/functions.ts'
import { input } from '../core/tensor.ts'
import { finish, type SchedulerConfig, schedulerFromConfig } from '../diffusion/index.ts'
import { clipText } from '../models/clip/index.ts'
import { type UNet2DConditionConfig, unet2dCondition } from '../models/unet-condition/index.ts'
import { type AutoencoderKLConfig, latentStatistics } from '../models/vae/index.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type CompileOptions, compile, type Program } from '../runtime/program.ts'
import { Programs } from '../runtime/programs.ts'
import { Generator } from '../runtime/random.ts'
import { type Autoencoder, createAutoencoder } from './autoencoder.ts'
import { framed } from './clip.ts'
import type { Network } from './open/network.ts'
import type { TextEncoder } from './parts/text-encoder.ts'
import type { Components } from './stable-diffusion/components.ts'

export interface PromptBatchOptions {
  readonly steps: number
  /** How strongly prompts guide (Ho and Salimans 2021); 1 is not at all. */
  readonly guidance: number
  /** Picture k starts from the noise of seed `seed + k`, as the pipeline's does. */
  readonly seed: number
  readonly signal?: AbortSignal | undefined
  readonly onPictures?: (done: number, total: number) => void
}

/** Many prompts through a small model of Stable Diffusion's kind, `batch` of them at once. */
export interface PromptBatches {
  /** Pictures [prompts, 3, H, W], nominally in [−1, 1], a prompt each. */
  generate(prompts: readonly string[], options: PromptBatchOptions): Promise<NdArray<'f32'>>
  readonly autoencoder: Autoencoder
  /** Frees the engine's memory. */
  release(): Promise<void>
}

export interface PromptBatchParts {
  readonly unet: Network<UNet2DConditionConfig>
  readonly text: Pick<TextEncoder, 'config' | 'weights' | 'tokenizer'>
  readonly vae: Network<AutoencoderKLConfig>
  readonly scheduler: SchedulerConfig
  /** Pixels a side. */
  readonly size: number
}

/** The parts of an opened model with one text encoder. */
export function partsOf({ unet, text: [text], vae, scheduler }: Components): PromptBatchParts {
  const { sample_size: latents } = unet.config
  const own = vae as Network<AutoencoderKLConfig>
  return {
    unet,
    text: text as TextEncoder,
    vae: own,
    scheduler,
    size: Number(latents) * 2 ** (own.config.block_out_channels.length - 1),
  }
}

export function createPromptBatches(
  { unet, text, vae, scheduler, size }: PromptBatchParts,
  { batch = 16, ...options }: CompileOptions & { readonly batch?: number } = {},
): PromptBatches {
  const { config } = unet
  const side = size / 2 ** (vae.config.block_out_channels.length - 1)
  const width = text.config.hidden_size
  const length = text.tokenizer.maxLength
  const network = unet2dCondition(new Params(), config)
  const encoders = new Programs((count: number) => {
    const { lastHiddenState } = clipText(new Params(), text.config)(input('tokens', [count, length], 'i64'))
    return compile({ outputs: { context: lastHiddenState }, weights: text.weights }, options)
  })
  /** Guided: the rows without a prompt, then those with theirs, in one batch. */
  const denoisers = new Programs((key: string) => {
    const [count, guided] = key.split(' ').map(Number) as [number, number]
    const x = input('x', [count, config.in_channels, side, side])
    const t = input('t', [1])
    const context = input('context', [count * (1 + guided), length, width])
    const rows = guided ? concat([x, x], 0) : x
    const out = network(rows, t.expand([rows.shape[0] as number]), context)
    if (!guided) return compile({ outputs: { out }, weights: unet.weights }, options)
    const [empty, told] = out.split(2, 0) as [typeof out, typeof out]
    return compile({ outputs: { out: empty.add(told.sub(empty).mul(input('guidance', []))) }, weights: unet.weights }, options)
  })
  const coder = createAutoencoder(vae, { batch, ...options })
  const { mean, std } = latentStatistics(vae.config)
  const [shift, scale] = [mean, std].map((values) => NdArray.from(values, [1, values.length, 1, 1])) as [NdArray, NdArray]
  const plan = schedulerFromConfig(scheduler)

  const contextOf = async (prompts: readonly string[]) => {
    const program = await encoders.get(prompts.length)
    return (await program.run({ tokens: framed(text.tokenizer, prompts) })).context as NdArray<'f32'>
  }

  return {
    autoencoder: coder,
    async generate(prompts, { steps, guidance, seed, signal, onPictures }) {
      const found: NdArray<'f32'>[] = []
      const guided = guidance !== 1
      for (let from = 0; from < prompts.length; from += batch) {
        const own = prompts.slice(from, from + batch)
        const told = await contextOf(own)
        const context = guided ? NdArray.concat([await contextOf(own.map(() => '')), told]) : told
        const denoiser: Program = await denoisers.get(`${own.length} ${guided ? 1 : 0}`)
        const model = async (x: NdArray, t: number) => {
          signal?.throwIfAborted()
          const feeds = { x: x.cast('f32'), t: NdArray.full([1], t), context }
          return (await denoiser.run(guided ? { ...feeds, guidance: NdArray.full([], guidance) } : feeds)).out as NdArray
        }
        const noise = NdArray.concat(own.map((_, i) => new Generator(seed + from + i).randn([1, config.in_channels, side, side])))
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
