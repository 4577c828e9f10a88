import type { Tensor } from '../../../core/tensor.ts'
import { foreground, imagesOf, overlap, toPixels } from '../../../images/index.ts'
import type { AutoencoderKLConfig } from '../../../models/vae/index.ts'
import { createAutoencoder, type PromptBatches } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import type { Weights } from '../../../runtime/weights.ts'
import type { TrainingJob } from '../../../training/run.ts'
import { gridSampling } from '../text-to-image/fixed-prompts.ts'
import type { ControlData } from './data.ts'

/** Where in the noise errors are measured, as shares of the timesteps. */
const watched = [0.5, 0.75, 0.9]
/** Pictures that are sampled, to be held against their control images. */
const SAMPLED = 16

type Feeds = Readonly<Record<string, NdArray>>

interface ValidationParts {
  readonly data: ControlData
  /** Of a batch of latents. */
  readonly shape: readonly number[]
  /** Timesteps of the process. */
  readonly steps: number
  readonly error: Tensor
  /** Without the ControlNet. */
  readonly plainError: Tensor
  readonly vae: { readonly config: AutoencoderKLConfig; readonly weights: Weights }
  noised(clean: NdArray, noise: NdArray, times: readonly number[]): Feeds
  told(captions: readonly string[]): Feeds
  sampler(weights: ReadonlyMap<string, NdArray>): PromptBatches
}

/**
 * Errors at the watched levels with control images and without, and how well pictures agree with them: the overlap (intersection over union) of
 * what stands before the background in a picture and in its control image. The jump of the latter is the sudden convergence of
 * Zhang et al. 2023, figure 4.
 */
export function controlValidation(parts: ValidationParts): NonNullable<TrainingJob['validation']> {
  const { data, shape, steps, error, plainError, vae } = parts
  const batchSize = shape[0] as number
  const levels = watched.map((share) => Math.floor(share * steps))
  const prepared = async () => {
    const { images, hints, captions } = await data.shown(Math.max(batchSize, SAMPLED))
    // A folder may have fewer pictures than a batch.
    const turn = Array.from({ length: batchSize }, (_, i) => i % captions.length)
    const rows = (all: NdArray<'f32'>) => NdArray.concat(turn.map((at) => all.slice(0, at, at + 1)))
    const coder = createAutoencoder(vae)
    const clean = (await coder.encode(rows(images))).mul(vae.config.scaling_factor)
    await coder.release()
    const sampled = { hints: hints.slice(0, 0, Math.min(SAMPLED, captions.length)), captions: captions.slice(0, SAMPLED) }
    return { feeds: { ...parts.told(turn.map((at) => captions[at] as string)), hint: rows(hints) }, clean, sampled }
  }
  let shown: ReturnType<typeof prepared> | undefined
  const plain = new Map<string, number>()
  return {
    names: ['overlap', ...levels.flatMap((time) => [`error_${time}`, `plain_${time}`])],
    async measure(weights) {
      shown ??= prepared()
      const { clean, feeds, sampled } = await shown
      const found: Record<string, number> = {}
      const program = await compile({ outputs: plain.size === 0 ? { error, plainError } : { error }, weights })
      for (const time of levels) {
        const noised = parts.noised(clean, new Generator(time).randn(shape), Array<number>(batchSize).fill(time))
        const out = await program.run({ ...noised, ...feeds })
        found[`error_${time}`] = out.error?.item() as number
        // The base does not change.
        if (out.plainError) plain.set(`plain_${time}`, out.plainError.item())
      }
      await program.release()
      const sampler = parts.sampler(weights)
      const options = { ...gridSampling, steps: Math.min(gridSampling.steps, steps), hints: [sampled.hints] }
      const pictures = await sampler.generate(sampled.captions, options)
      await sampler.release()
      return { ...found, ...Object.fromEntries(plain), overlap: agreement(sampled.hints, pictures) }
    },
  }
}

/** The mean overlap of what pictures show, [B, 3, H, W] in [−1, 1], with what their control images show, in [0, 1]. */
export function agreement(hints: NdArray<'f32'>, pictures: NdArray<'f32'>): number {
  const [maps, made] = [imagesOf(hints.mul(2).sub(1)), imagesOf(pictures.clamp(-1, 1))]
  const all = maps.map((map, i) => overlap(foreground(toPixels(map)), foreground(toPixels(made[i] as NdArray<'f32'>))))
  return all.reduce((sum, one) => sum + one, 0) / all.length
}
