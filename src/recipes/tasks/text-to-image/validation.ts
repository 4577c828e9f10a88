import type { Tensor } from '../../../core/tensor.ts'
import type { AutoencoderKLConfig } from '../../../models/vae/index.ts'
import { createAutoencoder } from '../../../pipelines/index.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import type { Weights } from '../../../runtime/weights.ts'
import type { TrainingJob } from '../../../training/run.ts'
import type { ScenesConfig } from '../../data.ts'
import { heldOutSet } from '../../held-out.ts'

/**
 * Where in the noise the errors on held-out scenes are measured, as shares of the timesteps: where objects take their shapes.
 * What captions tell there is the error without them less the error with them.
 */
const watched = [0.5, 0.75, 0.9]

type Feeds = Readonly<Record<string, NdArray>>

interface HeldOutParts {
  readonly data: ScenesConfig
  /** Pixels a side. */
  readonly resolution: number
  /** Timesteps of the process. */
  readonly steps: number
  readonly error: Tensor
  /** Of a batch of latents. */
  readonly shape: readonly number[]
  readonly vae: { readonly config: AutoencoderKLConfig; readonly weights: Weights }
  /** The feeds of noised latents. */
  noised(clean: NdArray, noise: NdArray, times: readonly number[]): Feeds
  /** Those of captions. */
  told(captions: readonly string[]): Feeds
}

/** Errors on held-out scenes at the watched levels, with their captions and without. */
export function heldOutErrors(parts: HeldOutParts): NonNullable<TrainingJob['validation']> {
  const { data, resolution: size, steps, error, shape, vae } = parts
  const levels = watched.map((share) => Math.floor(share * steps))
  const batchSize = shape[0] as number
  const encoded = async () => {
    const { scenes, captions, render } = await heldOutSet(data, 'validation', { size, count: batchSize })
    const coder = createAutoencoder(vae)
    const clean = (await coder.encode(render(scenes))).mul(vae.config.scaling_factor)
    await coder.release()
    return { clean, told: { error: captions, untold: captions.map(() => '') } }
  }
  let heldOut: ReturnType<typeof encoded> | undefined
  return {
    names: levels.flatMap((time) => [`error_${time}`, `untold_${time}`]),
    async measure(weights) {
      heldOut ??= encoded()
      const { clean, told } = await heldOut
      const program = await compile({ outputs: { error }, weights })
      const found: Record<string, number> = {}
      for (const time of levels) {
        const feeds = parts.noised(clean, new Generator(time).randn(shape), Array<number>(batchSize).fill(time))
        for (const [name, captions] of Object.entries(told)) {
          const { error } = await program.run({ ...feeds, ...parts.told(captions) })
          found[`${name}_${time}`] = error?.item() as number
        }
      }
      await program.release()
      return found
    },
  }
}
