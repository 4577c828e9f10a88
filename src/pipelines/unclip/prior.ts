import { readTensor } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import type { Scheduler, SchedulerConfig } from '../../diffusion/index.ts'
import { schedulerFromConfig } from '../../diffusion/index.ts'
import type { PriorConfig } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import type { Generator } from '../../runtime/random.ts'
import type { OpenedNetwork } from '../open/network.ts'
import type { Progress, Releasable } from '../page.ts'
import { type BatchEntry, type Denoiser, denoiser, type Trace } from '../parts/denoiser.ts'
import { guidedBy } from '../sampling/guidance.ts'
import { type Prepared, sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import type { EncodedPrompt } from './texts.ts'

/** A prior at work: from texts to pictures' embeddings. */
export interface WorkingPrior extends Releasable {
  readonly config: PriorConfig
  readonly scheduler: Scheduler
  /** The embeddings of the run's pictures: f32 [num, texts, D]. */
  sample(run: PriorRun): AsyncGenerator<Progress, NdArray<'f32'>, void>
}

export interface PriorRun {
  /** Texts whose embeddings are drawn side by side, one mostly; and where guidance counts, what each is guided from. */
  readonly texts: readonly EncodedPrompt[]
  readonly from: readonly EncodedPrompt[] | undefined
  readonly guidance: number
  readonly steps: number
  /** Steps that are left out at the start, and the embeddings [texts, D] that are noised to where the others begin. */
  readonly start?: { readonly steps: number; readonly embeds: NdArray<'f32'> } | undefined
  readonly eta?: number | undefined
  readonly generators: readonly Generator[]
  readonly signal?: AbortSignal | undefined
}

/** The prior of texts side by side: their axis, the second, goes into the batch. */
const trace: Trace<'PriorTransformer'> = (network, { sample, timestep, textEmbeds, context, contextMask }) => {
  const { R, K, M, D } = dims(context as Tensor, 'R K M D')
  const flat = (x: Tensor | undefined, ...rest: number[]) => (x as Tensor).reshape([R * K, ...rest])
  const made = network.predict(flat(sample, D), flat(timestep?.unsqueeze(1).expand([R, K])), {
    textEmbeds: flat(textEmbeds, -1),
    context: flat(context, M, D),
    contextMask: flat(contextMask, M),
  })
  return made.reshape([R, -1])
}

/** Texts side by side as one entry of the batch. */
const sideBySide = (texts: readonly EncodedPrompt[]): BatchEntry => {
  const all = (part: keyof EncodedPrompt) => {
    const joined = NdArray.concat(texts.map((text) => text[part]))
    return joined.reshape([1, ...joined.shape])
  }
  return { textEmbeds: all('textEmbeds'), context: all('context'), contextMask: all('contextMask') }
}

/**
 * Of several embeddings drawn for a text, the one nearest to it, as DALL·E 2 keeps one of two (Ramesh et al. 2022, section 2.2): drawn
 * [num, K, D], the text's [1, D] → [num, D].
 */
export function likeliest(drawn: NdArray<'f32'>, textEmbeds: NdArray): NdArray<'f32'> {
  const [num, K, D] = drawn.shape as [number, number, number]
  const rows = Array.from({ length: num }, (_, picture) => {
    const own = Array.from({ length: K }, (_, k) =>
      drawn
        .slice(0, picture, picture + 1)
        .slice(1, k, k + 1)
        .reshape([1, D]),
    )
    const near = own.map((one) => one.dot(textEmbeds))
    return own[near.indexOf(Math.max(...near))] as NdArray<'f32'>
  })
  return NdArray.concat(rows)
}

/** @throws ArgumentError where it predicts embeddings of another width than it takes */
export function workingPrior(
  prior: OpenedNetwork<'PriorTransformer'>,
  stored: SchedulerConfig,
  compile: CompileOptions,
): WorkingPrior {
  const { config, weights, place } = prior
  const { embedding_dim: D, clip_embed_dim: out } = config
  if (out !== null && out !== D)
    throw new ArgumentError(`${place}: it takes embeddings of ${D} channels and predicts ${out}: they must agree`)
  const network: Denoiser = denoiser(prior, trace, compile)
  const scheduler = schedulerFromConfig(stored)
  const [mean, std] = ['clip_mean', 'clip_std'].map((key) => readTensor(weights.get(key) as never).cast('f32'))
  return {
    config,
    scheduler,
    async *sample({ texts, from, guidance, steps, start, eta, generators, signal }) {
      const K = texts.length
      const noiseless = start?.embeds.reshape([1, K * D])
      const prepare = (generator: Generator, _: number, initialSigma: number): Prepared => {
        const noise = generator.randn([K, D]).reshape([1, K * D])
        if (!noiseless) return { x: noise.mul(initialSigma).cast('f32') }
        return {
          x: noiseless,
          blend: (x, { alpha, sigma }, call) => (call === 0 ? noiseless.mul(alpha).add(noise.mul(sigma)) : x),
        }
      }
      const sampled = yield* sampleLatents({
        ...{ denoiser: network, scheduler, signal, generators, prepare, seed: 0, num: generators.length },
        entries: [...(from ? [sideBySide(from)] : []), sideBySide(texts)],
        schedule: scheduleOf(scheduler, { steps, eta, ...(start && { start: start.steps }) }),
        combine: guidedBy(guidance),
        preview: async (latents) => ({ type: 'latents', latents }),
      })
      return sampled
        .reshape([generators.length, K, D])
        .mul(std as NdArray)
        .add(mean as NdArray)
        .cast('f32')
    },
    release: () => network.release(),
  }
}
