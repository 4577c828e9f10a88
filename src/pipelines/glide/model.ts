import { ArgumentError } from '../../core/errors.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { alphasCumprod, betaSchedule, type NoiseAndVariance, spacedSampling } from '../../diffusion/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import type { Generator } from '../../runtime/random.ts'
import type { GlideTokenizer } from '../../text/index.ts'
import { build } from '../open/classes.ts'
import type { OpenedNetwork } from '../open/network.ts'
import type { Progress, Releasable } from '../page.ts'
import { type BatchEntry, denoiser } from '../parts/denoiser.ts'
import { turns } from '../parts/turns.ts'

/** One of GLIDE's networks at work. */
export interface GlideNetwork extends Releasable {
  /** Pixels a side. */
  readonly side: number
  readonly trainSteps: number
  sample(run: GlideRun): AsyncGenerator<Progress, NdArray<'f32'>, void>
}

/** What is known of a picture: where, and its values there: f32 [1, 3, S, S] and [1, 1, S, S], 1 where it is known. */
export interface Known {
  readonly picture: NdArray<'f32'>
  readonly where: NdArray<'f32'>
}

export interface GlideRun {
  readonly prompt: string
  /** u + s(c − u) where it is above 1, and the reference then draws for both. */
  readonly guidance: number
  /** Rising timesteps. */
  readonly timesteps: readonly number[]
  readonly sampler: 'ancestral' | 'ddim'
  /** Multiplies the first noise. */
  readonly temperature: number
  /** The small picture at this size, and what is known. */
  readonly small?: NdArray<'f32'> | undefined
  readonly known?: Known | undefined
  readonly gradient?: ((x: NdArray, t: number) => Promise<NdArray>) | undefined
  readonly generator: Generator
  readonly signal?: AbortSignal | undefined
}

export function glideNetwork(
  opened: OpenedNetwork<'GlideText2Im'>,
  tokenizer: GlideTokenizer,
  options: CompileOptions,
): GlideNetwork {
  const { config, weights, place } = opened
  const { image_size: side, text_ctx: length } = config
  if (tokenizer.size !== config.n_vocab)
    throw new ArgumentError(
      `${place}: it knows ${config.n_vocab} tokens, and its tokenizer has ${tokenizer.size}: they do not belong together`,
    )
  const turn = turns()
  const texts = new Programs((_: 'text') => {
    const { text } = build('GlideText2Im', new Params(), config)
    return compile({ outputs: { ...text(input('tokens', [1, length], 'i64'), input('mask', [1, length])) }, weights }, options)
  }, 1)
  const encode = (prompt: string): Promise<BatchEntry> =>
    turn(async () => {
      const { ids, mask } = tokenizer.frame(tokenizer.encode(prompt), length)
      const tokens = new NdArray(BigInt64Array.from(ids, BigInt), [1, length], 'i64')
      const { time, states } = await (await texts.get('text')).run({ tokens, mask: NdArray.from([...mask], [1, length]) })
      return { time, states }
    })
  const network = denoiser(
    opened,
    (run, { sample, timestep, time, states }) =>
      run.predict(sample as Tensor, timestep as Tensor, { time: time as Tensor, states: states as Tensor }),
    options,
  )
  const alphaBars = alphasCumprod(betaSchedule(config.noise_schedule, { steps: config.diffusion_steps }))

  return {
    side,
    trainSteps: config.diffusion_steps,
    async *sample({ prompt, guidance, timesteps, sampler, temperature, small, known, gradient, generator, signal }) {
      const guided = guidance > 1
      const entries = [await encode(prompt), ...(guided ? [await encode('')] : [])]
      await turn(() => texts.release())
      // The reference draws for the guided and the unguided row, and the guided one's counts.
      const draw = () => generator.randn([guided ? 2 : 1, 3, side, side]).slice(0, 0, 1)
      const behind = [...(known ? [known.picture, known.where] : []), ...(small ? [small] : [])]
      const run = network.begin()
      const predict = async (x: NdArray, t: number): Promise<NoiseAndVariance> => {
        signal?.throwIfAborted()
        const seen = NdArray.concat([x.cast('f32'), ...behind], 1)
        const output = await run.predict(NdArray.concat(entries.map(() => seen)), t, entries)
        const row = (k: number) => output.slice(0, k, k + 1)
        const noise = row(0).slice(1, 0, 3)
        const unguided = guided ? row(1).slice(1, 0, 3) : noise
        return { noise: guided ? unguided.add(noise.sub(unguided).mul(guidance)) : noise, variance: row(0).slice(1, 3) }
      }
      const sampling = spacedSampling(predict, draw().mul(temperature), {
        ...{ timesteps, alphaBars, sampler, draw, gradient },
        known: known && ((data) => data.mul(known.where.mul(-1).add(1)).add(known.picture)),
      })
      const total = timesteps.length
      let next = await sampling.next()
      for (; !next.done; next = await sampling.next()) {
        const { i, denoised } = next.value
        const preview = async () => ({ type: 'pictures', pictures: denoised.cast('f32') }) as const
        yield { picture: 0, i, done: i + 1, total, latents: denoised, preview }
      }
      return next.value.cast('f32')
    },
    async release() {
      await network.release()
      await turn(() => texts.release())
    },
  }
}
